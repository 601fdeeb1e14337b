"""Checkpoints, other projects' formats, exports."""

from resnet.weights.pretrained import import_weights

__all__ = ["import_weights"]
