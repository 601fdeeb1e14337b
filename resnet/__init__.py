"""Reversible and memory-efficient image classification in TensorFlow 2.

The public names load TensorFlow when they are first used, so that scripts can
show their help and find their environment without it.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from resnet.hints import install_hint as _install_hint
from resnet.keras_import import register_layers as _register_layers

__version__ = "0.1.0"

_HOME = {
    "Classifier": "resnet.models.keras_model",
    "Model": "resnet.models",
    "get_config": "resnet.configs",
    "get_model": "resnet.models",
    "import_weights": "resnet.weights.importing",
    "list_configs": "resnet.configs",
    "load": "resnet.training.loading",
    "read_photo": "resnet.data.photos",
}
_MODULES = ("configs", "reversible")

__all__ = sorted([*_HOME, *_MODULES])


# Type checkers run nothing, and with __getattr__ would take any name for one.
if TYPE_CHECKING:
    from resnet import configs as configs
    from resnet import reversible as reversible
    from resnet.configs import get_config as get_config
    from resnet.configs import list_configs as list_configs
    from resnet.data.photos import read_photo as read_photo
    from resnet.models import Model as Model
    from resnet.models import get_model as get_model
    from resnet.models.keras_model import Classifier as Classifier
    from resnet.training.loading import load as load
    from resnet.weights.importing import import_weights as import_weights
else:

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return _load(name, f"{__name__}.{name}")
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(_load(name, _HOME[name]), name)

    def _load(name: str, module: str) -> Any:
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name not in ("tensorflow", "keras"):
                raise
            raise ImportError(
                f"resnet.{name} needs TensorFlow, and {sys.executable} lacks it: {_install_hint()}",
                name=error.name,
            ) from None


def __dir__() -> list[str]:
    return [*__all__, "__all__", "__doc__", "__version__"]


_register_layers()
