"""Stem, residual unit and head, as pure functions of their parameters.

Every class here has `parameters() -> {name: Parameter}` and
`__call__(params, x, training) -> (y, statistics)`.
"""

import dataclasses

import tensorflow as tf

from resnet.models.layers import activation, convolution, dense
from resnet.models.parameters import (
    batch_norm_parameters,
    convolution_parameters,
    dense_parameters,
)
from resnet.models.residual import Residual, Shortcut


@dataclasses.dataclass(frozen=True)
class Stem:
    """Convolution, BN, ReLU, for ImageNet a 3x3/2 max pool: images -> (N, H, W, filters)."""

    in_channels: int
    filters: int
    kernel: int
    stride: int
    max_pool: bool
    dtype: tf.DType  # of the arithmetic
    stream_dtype: tf.DType  # of the output

    def parameters(self):
        """{name: Parameter}."""
        return convolution_parameters(
            "init/init_conv", self.kernel, self.in_channels, self.filters
        ) | batch_norm_parameters("init/init_bn", self.filters)

    def __call__(self, params, images, training):
        """(N, H, W, channels) -> (N, H/stride, W/stride, filters), and statistics."""
        h = convolution(params, "init/init_conv", tf.cast(images, self.dtype), self.stride)
        h, statistics = activation(params, "init/init_bn", h, training)
        if self.max_pool:
            h = tf.nn.max_pool2d(h, 3, 2, "SAME")
        return tf.cast(h, self.stream_dtype), statistics


@dataclasses.dataclass(frozen=True)
class ResidualUnit:
    """A ResNet's unit, y = s(x) + F(x)."""

    residual: Residual
    shortcut: Shortcut

    def parameters(self):
        """{name: Parameter}."""
        return self.residual.parameters() | self.shortcut.parameters()

    def __call__(self, params, x, training):
        """(N, H, W, C) -> (N, H/stride, W/stride, filters), and statistics."""
        f, statistics = self.residual(params, x, training)
        return self.shortcut(params, x) + f, statistics


@dataclasses.dataclass(frozen=True)
class Head:
    """BN, ReLU, mean over pixels, fully connected: (N, H, W, C) -> logits (N, classes)."""

    channels: int
    num_classes: int

    def parameters(self):
        """{name: Parameter}."""
        return batch_norm_parameters("unit_last/final_bn", self.channels) | dense_parameters(
            "logit", self.channels, self.num_classes
        )

    def __call__(self, params, x, training):
        """(N, H, W, channels) -> (N, classes) float32, and statistics."""
        h, statistics = activation(params, "unit_last/final_bn", x, training)
        h = tf.reduce_mean(tf.cast(h, tf.float32), axis=[1, 2])
        return dense(params, "logit", h), statistics
