"""All data sets by name: every module of resnet/data/sets/ describes one as its ENTRY.

Commands, setup.sh, the experiments' plan and the data floor itself ask here. Like the modules
that it finds, this loads neither TensorFlow nor NumPy.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

from resnet.data import sets
from resnet.data.entry import (
    CIFAR_PREPROCESSORS,
    IMAGENET_PREPROCESSORS,
    Counts,
    Entry,
    Folder,
    InMemory,
    Streamed,
)

__all__ = [
    "CIFAR",
    "CIFAR_CHOICES",
    "CIFAR_PREPROCESSORS",
    "FETCHED",
    "IMAGENET",
    "IMAGENET_PREPROCESSORS",
    "STREAMED",
    "ByName",
]


Kind = TypeVar("Kind", bound=Entry)


def _entries(kind: type[Kind]) -> dict[str, Kind]:
    """{name: Entry} of one kind, in the order of their modules' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(sets.__path__))
    found = [importlib.import_module(f"{sets.__name__}.{name}").ENTRY for name in names]
    return {entry.name: entry for entry in found if isinstance(entry, kind)}


TFDS = "tfds:"


class ByName(dict):
    """Something by a data set's name, also of each tfds:NAME: `of_tfds` makes it of the name."""

    def __init__(self, known: dict[str, Any], of_tfds: Callable[[str], Any]) -> None:
        super().__init__(known)
        self._of_tfds = of_tfds

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and name.startswith(TFDS))

    def __missing__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return self._of_tfds(name)


def _tfds_entry(name: str) -> Folder:
    """The entry of a data set of tensorflow_datasets."""
    bare = name.removeprefix(TFDS)

    def load(data_folder, image_size, strict, held_out):
        from resnet.data.tfds import load_tfds

        return load_tfds(bare, image_size)

    def inspect(data_folder):
        from resnet.data.tfds import counts_of

        return Counts(*counts_of(bare))

    return Folder(name=name, load=load, inspect=inspect)


DEFAULT = "cifar-10"
_in_memory = _entries(InMemory)
# What `resnet train-cifar` trains on, the first by default.
CIFAR = ByName({DEFAULT: _in_memory[DEFAULT]} | _in_memory, _tfds_entry)
CIFAR_CHOICES = (*CIFAR, f"{TFDS}NAME")
STREAMED = _entries(Streamed)
IMAGENET = STREAMED["imagenet"]
FETCHED = tuple(name for name, entry in CIFAR.items() if entry.archives)  # by build-cifar
