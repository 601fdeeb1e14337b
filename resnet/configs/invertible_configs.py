"""i-RevNet configs: RevNets that invert as a whole, of RevNet's budgets of parameters.

The form is of Jacobsen et al. 2018, https://arxiv.org/abs/1802.07088; depths and training are
those of the RevNets they stand beside: irevnet-38 ~ revnet-38, irevnet-110 ~ revnet-110,
irevnet-56 ~ revnet-56.
"""

import dataclasses
import functools

from resnet.configs import config as _config
from resnet.configs.cifar_configs import REVNET_38
from resnet.configs.imagenet_configs import REVNET_56

register = functools.partial(_config.register, source="after i-RevNet (Jacobsen et al. 2018)")

IREVNET_38 = register(
    dataclasses.replace(
        REVNET_38,
        name="irevnet-38",
        family="irevnet",
        preprocessor="cifar-grid",
        stem_filters=16,
        filters=(16, 64, 256),
        inner_filters=(32, 48, 19),
    ),
    parameters=462_462,
    multiply_adds=87_591_424,
)

IREVNET_110 = register(
    dataclasses.replace(
        IREVNET_38, name="irevnet-110", units=(9, 9, 9), inner_filters=(32, 48, 26)
    ),
    parameters=1_671_810,
    multiply_adds=281_348_608,
)

IREVNET_56 = register(
    dataclasses.replace(
        REVNET_56,
        name="irevnet-56",
        family="irevnet",
        stem_kernel=3,
        stem_stride=4,
        stem_max_pool=False,
        stem_filters=64,
        filters=(16, 64, 256, 1024),
        inner_filters=(64, 128, 256, 512),
    ),
    parameters=27_968_680,
    multiply_adds=2_958_458_880,
)
