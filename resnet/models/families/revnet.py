"""RevNets: the channels in two halves, y1 = s(x1) + F(x2), y2 = s(x2) + G(y1).

Gomez et al. 2017, https://arxiv.org/abs/1707.04585.
"""

import tensorflow as tf

from resnet.configs import Config
from resnet.models.family import require, require_defaults
from resnet.models.residual_family import ResidualFamily
from resnet.models.stages import LOOP_FROM, ReversibleStage
from resnet.settings import Computation


class RevNet(ResidualFamily):
    """See the module."""

    name, title = "revnet", "RevNet"
    num_halves = 2
    defaults = Computation(backprop="reversible", exact=True)
    # The halves are added to once a unit: bfloat16 sums would drown small terms.
    stream_dtype = tf.float32

    def check(self, config: Config) -> None:
        """As every family's."""
        # Sums are inverted: nothing may come behind them, nor may a shortcut be shared.
        fields = ("activation_order", "preactivate_shortcut")
        require_defaults(
            config, fields, f"left at its default: a {self.name} has no other", "family"
        )
        super().check(config)
        wanted = "even: a RevNet splits channels in halves"
        require(config, config.stem_filters % 2 == 0, "stem_filters", wanted, "family")
        is_even = all(filters % 2 == 0 for filters in config.filters)
        require(config, is_even, "filters", wanted, "family")

    def stage(
        self,
        config: Config,
        computation: Computation,
        place: int,
        in_channels: int,
        filters: int,
        stride: int,
        num_others: int,
    ) -> ReversibleStage:
        """As every family's."""
        in_f, in_g, in_others = self.activates(config, place)
        start_f = self.residual(config, computation, in_channels, filters, stride, in_f)
        names = [f"{half}_bottleneck/project" for half in ("x1", "x2")]
        is_deep = num_others >= LOOP_FROM and computation.backprop == "reversible"
        return ReversibleStage(
            start_f,
            self.residual(config, computation, filters, filters, activate_first=in_g),
            self.residual(config, computation, filters, filters, activate_first=in_others),
            tuple(self.shortcut(config, start_f, name) for name in names),
            num_others,
            computation.backprop,
            computation.exact,
            loop=computation.loop == "on" or (computation.loop == "auto" and is_deep),
        )


FAMILY = RevNet()
