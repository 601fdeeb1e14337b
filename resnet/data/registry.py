"""All data sets by name: every module of resnet/data/sets/ describes one as its ENTRY.

Commands, setup.sh, the experiments' plan and the data floor itself ask here. Like the modules
that it finds, this loads neither TensorFlow nor NumPy.
"""

import importlib
import pkgutil
from typing import TypeVar

from resnet.data import sets
from resnet.data.entry import (
    CIFAR_PREPROCESSORS,
    IMAGENET_PREPROCESSORS,
    Entry,
    InMemory,
    Streamed,
)

__all__ = [
    "CIFAR",
    "CIFAR_PREPROCESSORS",
    "FETCHED",
    "IMAGENET",
    "IMAGENET_PREPROCESSORS",
    "STREAMED",
]


Kind = TypeVar("Kind", bound=Entry)


def _entries(kind: type[Kind]) -> dict[str, Kind]:
    """{name: Entry} of one kind, in the order of their modules' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(sets.__path__))
    found = [importlib.import_module(f"{sets.__name__}.{name}").ENTRY for name in names]
    return {entry.name: entry for entry in found if isinstance(entry, kind)}


DEFAULT = "cifar-10"
_in_memory = _entries(InMemory)
# What `resnet train-cifar` trains on, the first by default.
CIFAR = {DEFAULT: _in_memory[DEFAULT]} | _in_memory
STREAMED = _entries(Streamed)
IMAGENET = STREAMED["imagenet"]
FETCHED = tuple(name for name, entry in CIFAR.items() if entry.archives)  # by build-cifar
