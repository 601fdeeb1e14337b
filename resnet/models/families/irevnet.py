"""i-RevNets: RevNets that invert as a whole, from what is pooled back to the images.

Zero channels beside the images are the room that the first stage computes in; space to depth
takes the place of pooling, so that the stream has the same size everywhere, no shortcut changes
the shape, and all stages are one sequence. Batch norm and ReLU come behind it, in the head.

Jacobsen et al. 2018, https://arxiv.org/abs/1802.07088.
"""

import dataclasses

from resnet.configs import Config
from resnet.models.families.revnet import RevNet
from resnet.models.family import require, require_defaults
from resnet.models.layers import IMAGE_CHANNELS
from resnet.models.stages import ReversibleStage
from resnet.models.stems import PadStem
from resnet.settings import Computation

# Of a stem that has weights, of shortcuts, and of what residual functions have inside.
FIXED = ("stem_kernel", "stem_max_pool", "shortcut", "bottleneck_width", "leading_activation")


class IRevNet(RevNet):
    """See the module."""

    name, title = "irevnet", "i-RevNet"
    inverts = has_inner_filters = True

    def check(self, config: Config) -> None:
        """As every family's."""
        wanted = f"left at its default: an {self.title} has no other"
        require_defaults(config, FIXED, wanted, "family")
        stride, stages = config.stem_stride, len(config.units)
        wanted = "1, 2 or 4: a stem that inverts is made of space to depth"
        require(config, stride in (1, 2, 4), "stem_stride", wanted, "family")
        least = IMAGE_CHANNELS * stride**2
        wanted = f"{least} or more: the images' channels stay"
        require(config, config.stem_filters >= least, "stem_filters", wanted, "family")
        wanted = "of 1 and 2: a stage is space to depth or none"
        require(config, {*config.strides} <= {1, 2}, "strides", wanted, "family")
        wanted = f"as long as units ({stages})"
        require(config, len(config.inner_filters) == stages, "inner_filters", wanted, "units")
        channels, total = config.stem_filters, stride
        for stage, own in enumerate(config.stage_channels):
            channels, total = channels * config.strides[stage] ** 2, total * config.strides[stage]
            wanted = f"of {channels} channels in stage {stage + 1}: stem_filters, times 4 a stride"
            require(config, own == channels, "filters", wanted, "stem_filters", "strides")
            inner, cardinality = config.inner_filters[stage], config.cardinality
            wanted = f"a divisor of inner_filters ({inner} in stage {stage + 1})"
            require(config, inner % cardinality == 0, "cardinality", wanted, "inner_filters")
        wanted = f"a multiple of {total}, all strides together"
        require(config, config.image_size % total == 0, "image_size", wanted, "strides")
        super().check(config)

    def stem(self, config: Config, computation: Computation) -> PadStem:
        """Space to depth and zero channels."""
        return PadStem(config.stem_filters, config.stem_stride, self.stream_dtype)

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
        width = config.inner_filters[place]
        stage = super().stage(config, computation, place, filters, filters, 1, num_others)
        return dataclasses.replace(
            stage,
            start_f=dataclasses.replace(stage.start_f, width=width),
            start_g=dataclasses.replace(stage.start_g, width=width),
            residual=dataclasses.replace(stage.residual, width=width),
            squeezes=stride == 2,
        )


FAMILY = IRevNet()
