"""Residual functions and shortcuts: what a unit adds, and what it adds it to.

He et al. 2016, "Identity Mappings in Deep Residual Networks",
https://arxiv.org/abs/1603.05027: batch norm and ReLU stand before a convolution.
"""

import dataclasses

import tensorflow as tf

from resnet.models.layers import activation, convolution, pad_channels
from resnet.models.parameters import batch_norm_parameters, convolution_parameters

BOTTLENECK_FACTOR = 4


@dataclasses.dataclass(frozen=True)
class Residual:
    """A residual function: two 3x3 convolutions, or a bottleneck of 1x1, 3x3, 1x1.

    Basic: [BN ReLU] conv3x3(stride) BN ReLU conv3x3.
    Bottleneck: [BN ReLU] conv1x1(stride) BN ReLU conv3x3 BN ReLU conv1x1.
    """

    block: str
    in_channels: int
    filters: int  # channels of the output
    stride: int = 1
    activate_first: bool = True  # whether the leading BN and ReLU are there
    dtype: tf.DType = tf.float32  # of its arithmetic; parameters stay float32

    def convolutions(self):
        """[(kernel, stride, in_channels, filters)], first to last."""
        if self.block == "basic":
            shapes = [(3, self.stride, self.filters), (3, 1, self.filters)]
        else:
            width = self.filters // BOTTLENECK_FACTOR
            shapes = [(1, self.stride, width), (3, 1, width), (1, 1, self.filters)]
        in_channels = [self.in_channels] + [filters for *_, filters in shapes]
        return [(k, s, c, f) for (k, s, f), c in zip(shapes, in_channels, strict=False)]

    def parameters(self):
        """{name: Parameter}."""
        found = {}
        for i, (kernel, _, channels, filters) in enumerate(self.convolutions(), 1):
            if i > 1 or self.activate_first:
                found |= batch_norm_parameters(f"sub{i}/bn{i}", channels)
            found |= convolution_parameters(f"sub{i}/conv{i}", kernel, channels, filters)
        return found

    def __call__(self, params, x, training):
        """(N, H, W, C) -> (N, H/stride, W/stride, filters) of x's type, and statistics."""
        h, statistics = tf.cast(x, self.dtype), {}
        for i, (_, stride, _, _) in enumerate(self.convolutions(), 1):
            if i > 1 or self.activate_first:
                h, found = activation(params, f"sub{i}/bn{i}", h, training)
                statistics |= found
            h = convolution(params, f"sub{i}/conv{i}", h, stride)
        return tf.cast(h, x.dtype), statistics


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """The way around a residual function: the identity where the shape allows it.

    Else, for basic units, average pooling and zero channels; for bottlenecks a
    1x1 convolution of the unit's raw input.
    """

    block: str
    in_channels: int
    filters: int
    stride: int
    name: str  # of the 1x1 convolution
    dtype: tf.DType = tf.float32

    @property
    def is_identity(self):
        """Whether it keeps the shape."""
        return self.stride == 1 and self.in_channels == self.filters

    @property
    def is_projected(self):
        """Whether it has a 1x1 convolution."""
        return self.block == "bottleneck" and not self.is_identity

    def parameters(self):
        """{name: Parameter}."""
        if not self.is_projected:
            return {}
        return convolution_parameters(self.name, 1, self.in_channels, self.filters)

    def __call__(self, params, x):
        """(N, H, W, C) -> (N, H/stride, W/stride, filters) of x's type."""
        if self.is_projected:
            h = convolution(params, self.name, tf.cast(x, self.dtype), self.stride)
            return tf.cast(h, x.dtype)
        if self.stride > 1:
            x = tf.nn.avg_pool2d(x, self.stride, self.stride, "VALID")
        return pad_channels(x, self.filters) if self.in_channels != self.filters else x
