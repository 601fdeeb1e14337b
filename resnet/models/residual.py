"""The residual function and the shortcut around it, as pure functions of their parameters.

Preactivated (He et al. 2016, https://arxiv.org/abs/1603.05027), batch norm and ReLU stand
before a convolution; in the original order (He et al. 2015,
https://arxiv.org/abs/1512.03385) behind it, and the last ReLU behind the unit's sum.
"""

import dataclasses

import tensorflow as tf

from resnet.configs.config import BOTTLENECK_FACTOR
from resnet.models.layers import Convolution, activation, batch_norm, dropout, pad_channels
from resnet.models.parameters import batch_norm_parameters


@dataclasses.dataclass(frozen=True)
class Residual:
    """A residual function: two 3x3 convolutions, or a bottleneck of 1x1, 3x3, 1x1.

    Preactivated: [BN ReLU] conv, BN ReLU conv (BN ReLU conv).
    Original: conv BN ReLU, conv BN (ReLU, conv BN).
    Dropout, if any, stands behind the first convolution.
    """

    block: str  # "basic" or "bottleneck"
    in_channels: int
    filters: int  # channels of the output
    stride: int = 1
    activate_first: bool = True  # whether the leading BN and ReLU are there, if preactivated
    dtype: tf.DType = tf.float32  # of its arithmetic; parameters stay float32
    activation_order: str = "preactivated"
    width: int | None = None  # channels inside; default: `filters`, a bottleneck's a quarter
    bottleneck_stride_at: int = 1  # which of its convolutions has the stride
    cardinality: int = 1  # groups of a bottleneck's 3x3 convolution
    dropout: float = 0.0  # share of values

    @property
    def is_preactivated(self):
        """Whether BN and ReLU stand before a convolution."""
        return self.activation_order == "preactivated"

    def convolutions(self):
        """[Convolution], first to last."""
        if self.block == "basic":
            width = self.width or self.filters
            return [
                Convolution(3, self.stride, self.in_channels, width),
                Convolution(3, 1, width, self.filters),
            ]
        width = self.width or self.filters // BOTTLENECK_FACTOR
        strides = [self.stride if i == self.bottleneck_stride_at else 1 for i in (1, 2)]
        return [
            Convolution(1, strides[0], self.in_channels, width),
            Convolution(3, strides[1], width, width, self.cardinality),
            Convolution(1, 1, width, self.filters),
        ]

    def _has_activation(self, i):
        """Whether BN and ReLU stand before convolution i, counted from 1."""
        return self.is_preactivated and (i > 1 or self.activate_first)

    def parameters(self):
        """{name: Parameter}."""
        found = {}
        for i, conv in enumerate(self.convolutions(), 1):
            if self._has_activation(i):
                found |= batch_norm_parameters(f"sub{i}/bn{i}", conv.in_channels)
            found |= conv.parameters(f"sub{i}/conv{i}")
            if not self.is_preactivated:
                found |= batch_norm_parameters(f"sub{i}/bn{i}", conv.filters)
        return found

    def __call__(self, params, x, training, seed=None):
        """Applies it.

        Args:
          params: {name: tensor}.
          x: (N, H, W, in_channels).
          training: whether batch norm uses the batch's statistics, and values are dropped.
          seed: (2,) int64 that says which; None if none are.

        Returns:
          (y, statistics): (N, H/stride, W/stride, filters) of x's type; batch statistics.
        """
        h, statistics = tf.cast(x, self.dtype), {}
        convolutions = self.convolutions()
        for i, conv in enumerate(convolutions, 1):
            found = {}
            if self._has_activation(i):
                h, found = activation(params, f"sub{i}/bn{i}", h, training)
            h = conv(params, f"sub{i}/conv{i}", h)
            if self.dropout and training and i == 1:
                h = dropout(h, self.dropout, seed)
            if not self.is_preactivated:
                normalise = batch_norm if i == len(convolutions) else activation
                h, found = normalise(params, f"sub{i}/bn{i}", h, training)
            statistics |= found
        return tf.cast(h, x.dtype), statistics


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """The way around a residual function: the identity where the shape allows it.

    Else, by kind,
      "pool": average pooling, then zero channels, half of them before and half after;
      "A": every stride-th pixel, then zero channels at the end;
      "B": a 1x1 convolution, in the original order with batch norm behind it.
    """

    kind: str
    in_channels: int
    filters: int
    stride: int
    name: str  # of the 1x1 convolution
    dtype: tf.DType = tf.float32
    has_batch_norm: bool = False  # behind the 1x1 convolution

    @property
    def is_identity(self):
        """Whether it keeps the shape."""
        return self.stride == 1 and self.in_channels == self.filters

    def convolutions(self):
        """[Convolution]: the 1x1 convolution, or none."""
        if self.kind != "B" or self.is_identity:
            return []
        return [Convolution(1, self.stride, self.in_channels, self.filters)]

    def parameters(self):
        """{name: Parameter}."""
        found = {}
        for conv in self.convolutions():
            found |= conv.parameters(self.name)
            if self.has_batch_norm:
                found |= batch_norm_parameters(f"{self.name}/bn", self.filters)
        return found

    def __call__(self, params, x, training):
        """(N, H, W, C) -> (N, H/stride, W/stride, filters) of x's type, and statistics."""
        for conv in self.convolutions():
            h, statistics = conv(params, self.name, tf.cast(x, self.dtype)), {}
            if self.has_batch_norm:
                h, statistics = batch_norm(params, f"{self.name}/bn", h, training)
            return tf.cast(h, x.dtype), statistics
        missing = self.filters - self.in_channels
        if self.stride > 1 and self.kind == "pool":
            x = tf.nn.avg_pool2d(x, self.stride, self.stride, "VALID")
        elif self.stride > 1:
            x = x[:, :: self.stride, :: self.stride]
        before = missing // 2 if self.kind == "pool" else 0
        return (pad_channels(x, before, missing - before) if missing else x), {}
