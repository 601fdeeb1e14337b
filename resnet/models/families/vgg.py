"""VGGs: plain stacks of 3x3 convolutions with batch norm, each stage ending in a max pool.

Simonyan & Zisserman 2014, https://arxiv.org/abs/1409.1556.
"""

import tensorflow as tf

from resnet.configs import Config
from resnet.models.family import Family, require, require_defaults
from resnet.models.layers import Convolution
from resnet.models.residual_family import BOTTLENECK_FIELDS
from resnet.models.stages import Stage
from resnet.models.stems import NoStem
from resnet.models.units import Head, PlainUnit
from resnet.settings import Computation

# Fields of which it has one value alone, those without a default aside.
FIXED = (
    "activation_order",
    "preactivate_shortcut",
    "shortcut",
    "dropout",
    "inner_filters",
    "stem_kernel",
    "stem_stride",
    "stem_max_pool",
    "leading_activation",
    *BOTTLENECK_FIELDS,
)


class VGG(Family):
    """See the module."""

    name, title = "vgg", "VGG"

    def check(self, config: Config) -> None:
        """As every family's."""
        depth = len(config.units)
        wanted = f"left at its default: a {self.name} has no other"
        require(config, config.stem_filters == 0, "stem_filters", "0: a VGG has no stem", "family")
        require_defaults(config, FIXED, wanted, "family")
        require(config, config.block == "basic", "block", wanted, "family")
        require(config, config.strides == (1,) * depth, "strides", wanted, "family")
        wanted = f"{2**depth} or more: each of {depth} stages halves it"
        require(config, config.image_size >= 2**depth, "image_size", wanted, "units")

    def stem(self, config: Config, computation: Computation) -> NoStem:
        """None: images."""
        return NoStem(tf.as_dtype(computation.dtype))

    def stage(
        self,
        config: Config,
        computation: Computation,
        place: int,
        in_channels: int,
        filters: int,
        stride: int,
        num_others: int,
    ) -> Stage:
        """As every family's."""
        dtype = tf.as_dtype(computation.dtype)
        start, unit = (
            PlainUnit(Convolution(3, stride, channels, filters, has_bias=True), dtype)
            for channels in (in_channels, filters)
        )
        return Stage(start, unit, num_others, computation.backprop, max_pool=True)

    def head(self, config: Config) -> Head:
        """The Head, behind units that end in ReLU."""
        return Head(config.stage_channels[-1], config.num_classes, activate_first=False)

    def units_name(self, config: Config) -> str:
        """What `config.units` counts."""
        return "convolutions"


FAMILY = VGG()
