"""Units and head, as pure functions of their parameters.

Every class here has `parameters() -> {name: Parameter}`, and
`__call__(params, x, training) -> (y, statistics)`; a unit's call takes the seed of its
dropout too. Of units, `convolutions()` are those on the way from input to output, in order, and
`shortcut_convolutions()` those around them.
"""

import dataclasses

import tensorflow as tf

from resnet.models.layers import Convolution, activation, dense
from resnet.models.parameters import batch_norm_parameters, dense_parameters
from resnet.models.residual import Residual, Shortcut


@dataclasses.dataclass(frozen=True)
class ResidualUnit:
    """A ResNet's unit, y = s(x) + F(x); in the original order, y = ReLU(s(x) + F(x)).

    With `shares_activation`, y = s(a) + F(a) with a = ReLU(BN(x)), and F does not begin
    with BN and ReLU itself.
    """

    residual: Residual
    shortcut: Shortcut
    shares_activation: bool = False

    @property
    def dtype(self):
        """Type of the arithmetic."""
        return self.residual.dtype

    def convolutions(self):
        """[Convolution] of the residual function."""
        return self.residual.convolutions()

    def shortcut_convolutions(self):
        """[Convolution] of the shortcut."""
        return self.shortcut.convolutions()

    def parameters(self):
        """{name: Parameter}."""
        shared = {}
        if self.shares_activation:
            shared = batch_norm_parameters("sub1/bn1", self.residual.in_channels)
        return shared | self.residual.parameters() | self.shortcut.parameters()

    def __call__(self, params, x, training, seed=None):
        """(N, H, W, C) -> (N, H/stride, W/stride, filters), and statistics."""
        statistics = {}
        if self.shares_activation:
            x, statistics = activation(params, "sub1/bn1", x, training)
        f, of_residual = self.residual(params, x, training, seed)
        s, of_shortcut = self.shortcut(params, x, training)
        y = s + f if self.residual.is_preactivated else tf.nn.relu(s + f)
        return y, statistics | of_residual | of_shortcut


@dataclasses.dataclass(frozen=True)
class PlainUnit:
    """A VGG's unit: 3x3 convolution with bias, BN, ReLU."""

    convolution: Convolution
    dtype: tf.DType = tf.float32

    def convolutions(self):
        """[Convolution]."""
        return [self.convolution]

    def shortcut_convolutions(self):
        """[Convolution]: none."""
        return []

    def parameters(self):
        """{name: Parameter}."""
        return self.convolution.parameters("conv") | batch_norm_parameters(
            "bn", self.convolution.filters
        )

    def __call__(self, params, x, training, seed=None):
        """(N, H, W, C) -> (N, H, W, filters), and statistics."""
        return activation(params, "bn", self.convolution(params, "conv", x), training)


@dataclasses.dataclass(frozen=True)
class Head:
    """[BN, ReLU,] mean over pixels, fully connected: (N, H, W, C) -> logits (N, classes)."""

    channels: int
    num_classes: int
    activate_first: bool = True  # whether BN and ReLU are there
    include_top: bool = True  # whether the mean and what is behind it are there

    def parameters(self):
        """{name: Parameter}."""
        found = {}
        if self.activate_first:
            found |= batch_norm_parameters("unit_last/final_bn", self.channels)
        if self.include_top:
            found |= dense_parameters("logit", self.channels, self.num_classes)
        return found

    def __call__(self, params, x, training):
        """(N, H, W, channels) -> (N, classes) float32, and statistics.

        Without top: -> (N, H, W, channels) float32.
        """
        statistics = {}
        if self.activate_first:
            x, statistics = activation(params, "unit_last/final_bn", x, training)
        x = tf.cast(x, tf.float32)
        if not self.include_top:
            return x, statistics
        return dense(params, "logit", tf.reduce_mean(x, axis=[1, 2])), statistics
