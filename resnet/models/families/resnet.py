"""ResNets: one residual function a unit, y = s(x) + F(x).

He et al. 2015, https://arxiv.org/abs/1512.03385, and 2016, https://arxiv.org/abs/1603.05027.
"""

from resnet.configs import Config
from resnet.models.residual_family import ResidualFamily
from resnet.models.stages import Stage
from resnet.models.units import ResidualUnit
from resnet.settings import Computation


class ResNet(ResidualFamily):
    """See the module."""

    name, title = "resnet", "ResNet"

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
        in_first, _, in_others = self.activates(config, place)
        shares = config.preactivate_shortcut and in_first
        start = self.residual(
            config, computation, in_channels, filters, stride, in_first and not shares
        )
        other = self.residual(config, computation, filters, filters, activate_first=in_others)
        return Stage(
            ResidualUnit(start, self.shortcut(config, start, "project"), shares),
            ResidualUnit(other, self.shortcut(config, other, "project")),
            num_others,
            computation.backprop,
        )


FAMILY = ResNet()
