"""Reversible and memory-efficient image classification in TensorFlow 2.

The public names load TensorFlow when they are first used, so that scripts can
show their help and find their environment without it.
"""

import importlib

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


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
