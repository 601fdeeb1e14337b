"""Reversible and memory-efficient image classification in TensorFlow 2.

The public names load TensorFlow when they are first used, so that scripts can
show their help and find their environment without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Classifier": "resnet.models.keras_model",
    "Model": "resnet.models",
    "get_config": "resnet.configs",
    "get_model": "resnet.models",
    "import_weights": "resnet.weights.pretrained",
    "list_configs": "resnet.configs",
}

__all__ = sorted(_HOME)


# Type checkers run nothing, and with __getattr__ would take any name for one.
if TYPE_CHECKING:
    from resnet.configs import get_config as get_config
    from resnet.configs import list_configs as list_configs
    from resnet.models import Model as Model
    from resnet.models import get_model as get_model
    from resnet.models.keras_model import Classifier as Classifier
    from resnet.weights.pretrained import import_weights as import_weights
else:

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOME[name]), name)
