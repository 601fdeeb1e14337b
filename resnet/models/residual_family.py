"""What ResNets and RevNets have in common: the stem, residual functions and shortcuts."""

import tensorflow as tf

from resnet.configs.config import BOTTLENECK_FACTOR
from resnet.models.family import Family, require, require_defaults
from resnet.models.layers import IMAGE_CHANNELS, Convolution
from resnet.models.residual import Residual, Shortcut
from resnet.models.stems import Stem
from resnet.models.units import Head

BOTTLENECK_FIELDS = ("bottleneck_width", "bottleneck_stride_at", "cardinality")


class ResidualFamily(Family):
    """A network of residual functions."""

    has_inner_filters = False  # whether configs say what residual functions have inside
    stream_dtype = None  # of what units add to; None: the arithmetic's

    def check(self, config):
        """As every family's."""
        order, block = config.activation_order, config.block
        require(config, config.stem_filters >= 1, "stem_filters", "1 or more", "family")
        unused = () if block == "bottleneck" else BOTTLENECK_FIELDS
        unused += () if order == "preactivated" else ("leading_activation",)
        if not self.has_inner_filters:
            unused += ("inner_filters",)
        wanted = f"left at its default: nothing in {order} {block} units depends on it"
        require_defaults(config, unused, wanted, "block", "activation_order")
        require(
            config,
            order == "preactivated" or not config.preactivate_shortcut,
            "activation_order",
            '"preactivated" with preactivate_shortcut',
            "preactivate_shortcut",
        )
        for filters in () if self.has_inner_filters else config.filters:
            width = filters // self.num_halves * config.bottleneck_width
            wanted = "a divisor of a bottleneck's channels"
            fields = ("filters", "bottleneck_width")
            require(config, width % config.cardinality == 0, "cardinality", wanted, *fields)
        self._check_shortcuts(config)

    def _check_shortcuts(self, config):
        if config.shortcut_kind != "B":
            channels = (config.stem_filters, *config.stage_channels)
            require(
                config,
                list(channels) == sorted(channels),
                "filters",
                f"rising from stem_filters on, with shortcut {config.shortcut_kind}: it appends "
                "channels and takes none away",
                "stem_filters",
                "shortcut",
            )
        if config.shortcut_kind == "pool":
            side = self._stem(config).out_side(config.image_size)
            for stride in config.strides:
                wanted = f"divisors of the image's side, {side} there"
                fields = ("image_size", "shortcut")
                require(config, side % stride == 0, "strides", wanted, *fields)
                side //= stride

    def stem(self, config, computation):
        """A convolution."""
        return self._stem(config, tf.as_dtype(computation.dtype))

    def _stem(self, config, dtype=tf.float32):
        convolution = Convolution(
            config.stem_kernel, config.stem_stride, IMAGE_CHANNELS, config.stem_filters
        )
        return Stem(convolution, config.stem_max_pool, dtype, self.stream_dtype or dtype)

    def head(self, config):
        """The Head: preactivated units leave their last sum to it to activate."""
        is_preactivated = config.activation_order == "preactivated"
        return Head(config.stage_channels[-1], config.num_classes, is_preactivated)

    def residual(
        self, config, computation, in_channels, filters, stride=1, activate_first=True, width=None
    ):
        """A unit's residual function; `width` channels inside, default: the config's."""
        if width is None and config.block == "bottleneck":
            width = filters // BOTTLENECK_FACTOR * config.bottleneck_width
        return Residual(
            config.block,
            in_channels,
            filters,
            stride,
            activate_first,
            tf.as_dtype(computation.dtype),
            config.activation_order,
            width,
            config.bottleneck_stride_at,
            config.cardinality,
            config.dropout,
        )

    def shortcut(self, config, residual, name):
        """The way around a residual function; `name` is that of its convolution."""
        return Shortcut(
            config.shortcut_kind,
            residual.in_channels,
            residual.filters,
            residual.stride,
            name,
            residual.dtype,
            has_batch_norm=not residual.is_preactivated,
        )

    def activates(self, config, place):
        """Whether (F of a stage's first unit, its G, those of the others) begin with BN and ReLU.

        The stem ends in BN and ReLU, which the very first function does not repeat.
        """
        if config.leading_activation == "stages":
            return place > 0, place > 0, False
        return place > 0, True, True
