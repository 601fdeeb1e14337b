"""Reversible and memory-efficient image classification in TensorFlow 2."""

from resnet.configs import get_config, list_configs
from resnet.models import Model, get_model

__all__ = ["Model", "get_config", "get_model", "list_configs"]
__version__ = "0.1.0"
