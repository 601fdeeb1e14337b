"""Makes this project's layers known to Keras once that is loaded: `import resnet` loads neither.

Keras takes a layer from a file only if its class is registered. Until the class is, a stand-in is,
which loads it when a file has it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any

# Registered name of a layer -> (its module, its class).
LAYERS = {
    "resnet>Classifier": ("resnet.models.keras_model", "Classifier"),
    "resnet.reversible>Flow": ("resnet.reversible", "Flow"),
    "resnet.reversible>Function": ("resnet.reversible", "Function"),
    "resnet.reversible>Sequence": ("resnet.reversible", "Sequence"),
}


class _StandIn:
    """Stands for a layer's class until it is needed."""

    def __init__(self, module: str, name: str) -> None:
        self._place = (module, name)

    def from_config(self, config: dict[str, Any]) -> Any:
        """The layer of a config."""
        module, name = self._place
        return getattr(importlib.import_module(module), name).from_config(config)


class _AfterKeras(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Registers the stand-ins right after Keras is loaded."""

    _own: importlib.abc.Loader
    _is_looking = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of Keras, with this loader around its own; None for all else."""
        if fullname != "keras" or self._is_looking:
            return None
        self._is_looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._is_looking = False
        if spec is not None and spec.loader is not None:
            self._own, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """Keras' own."""
        return self._own.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Loads Keras, as its own loader does, and registers.

        Until then it stays: TensorFlow asks for Keras' spec before anybody loads it.
        """
        sys.meta_path.remove(self)
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        module.__loader__ = self._own
        self._own.exec_module(module)
        _register(module)


def _register(keras: types.ModuleType) -> None:
    known = keras.saving.get_custom_objects()
    for name, place in LAYERS.items():
        known.setdefault(name, _StandIn(*place))


def register_layers() -> None:
    """Registers the stand-ins, now if Keras is loaded, else as soon as it is."""
    if "keras" in sys.modules:
        _register(sys.modules["keras"])
    else:
        sys.meta_path.insert(0, _AfterKeras())
