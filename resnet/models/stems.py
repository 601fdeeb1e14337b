"""Stems, as pure functions of their parameters: what makes a stream of images.

Every class here has `parameters() -> {name: Parameter}`; `out_side(side)`, pixels a side of the
output; `convolutions()`, in order; and `__call__(params, images, training) -> (y, statistics)`.
"""

import dataclasses

import tensorflow as tf

from resnet.models.layers import IMAGE_CHANNELS, Convolution, batch_norm, pad_channels
from resnet.models.parameters import batch_norm_parameters


@dataclasses.dataclass(frozen=True)
class Stem:
    """Convolution, BN, ReLU, for ImageNet a 3x3/2 max pool: images -> (N, H, W, filters)."""

    convolution: Convolution
    max_pool: bool
    dtype: tf.DType  # of the arithmetic
    stream_dtype: tf.DType  # of the output

    @property
    def is_large(self):
        """Whether it is where a step's memory peaks: see stem_in_parts."""
        return self.max_pool

    @property
    def filters(self):
        """Channels of the output."""
        return self.convolution.filters

    def out_side(self, side):
        """Pixels a side of the output for images of so many."""
        side = -(-side // self.convolution.stride)
        return -(-side // 2) if self.max_pool else side

    def convolutions(self):
        """[Convolution]."""
        return [self.convolution]

    def parameters(self):
        """{name: Parameter}."""
        return self.convolution.parameters("init/init_conv") | batch_norm_parameters(
            "init/init_bn", self.convolution.filters
        )

    def __call__(self, params, images, training):
        """(N, H, W, channels) -> (N, H/stride, W/stride, filters), and statistics."""
        h = self.convolution(params, "init/init_conv", tf.cast(images, self.dtype))
        h, statistics = batch_norm(params, "init/init_bn", h, training)
        return self.behind_norm(h), statistics

    def behind_norm(self, h):
        """What follows batch norm, whose output has the size of the convolution's."""
        h = tf.nn.relu(h)
        if self.max_pool:
            h = tf.nn.max_pool2d(h, 3, 2, "SAME")
        return tf.cast(h, self.stream_dtype)


@dataclasses.dataclass(frozen=True)
class NoStem:
    """A VGG's: images, in the type of the arithmetic."""

    dtype: tf.DType

    is_large = False
    filters = IMAGE_CHANNELS

    def out_side(self, side):
        """Pixels a side of the output: the images'."""
        return side

    def convolutions(self):
        """[Convolution]: none."""
        return []

    def parameters(self):
        """{name: Parameter}: none."""
        return {}

    def __call__(self, params, images, training):
        """(N, H, W, channels), and no statistics."""
        return tf.cast(images, self.dtype), {}


@dataclasses.dataclass(frozen=True)
class PadStem:
    """Space to depth, and zero channels in front: images -> (N, H/stride, W/stride, filters).

    In front, so that the first residual function of a RevNet sees the images.
    """

    filters: int  # channels of the output
    stride: int  # a power of 2
    stream_dtype: tf.DType  # of the output

    is_large = False

    def out_side(self, side):
        """Pixels a side of the output for images of so many."""
        return side // self.stride

    def convolutions(self):
        """[Convolution]: none."""
        return []

    def parameters(self):
        """{name: Parameter}: none."""
        return {}

    def __call__(self, params, images, training):
        """(N, H, W, channels) -> (N, H/stride, W/stride, filters), and no statistics."""
        h = tf.cast(images, self.stream_dtype)
        if self.stride > 1:
            h = tf.nn.space_to_depth(h, self.stride)
        return pad_channels(h, self.filters - h.shape[-1], 0), {}

    def invert(self, h):
        """(N, H/stride, W/stride, filters) -> the images, (N, H, W, channels)."""
        h = h[..., -IMAGE_CHANNELS * self.stride**2 :]
        return tf.nn.depth_to_space(h, self.stride) if self.stride > 1 else h
