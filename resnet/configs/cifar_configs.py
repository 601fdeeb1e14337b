"""CIFAR-10/100 configs of the RevNet paper.

Gomez et al. 2017, https://arxiv.org/abs/1707.04585. Each trains with

    ./run_cifar_train.py --dataset cifar-10 --model revnet-38

80,000 steps of 100 images (160 epochs). The filters of a RevNet are chosen so
that its parameters match those of the ResNet it stands beside:
revnet-38 ~ resnet-32, revnet-110 ~ resnet-110, revnet-164 ~ resnet-164.
"""

import dataclasses
import functools

from resnet.configs import config as _config
from resnet.configs.config import Config

register = functools.partial(_config.register, source="revnet-public (Gomez et al. 2017)")

RESNET_32 = register(
    Config(
        name="resnet-32",
        family="resnet",
        image_size=32,
        num_classes=10,
        block="basic",
        stem_filters=16,
        filters=(16, 32, 64),
        units=(5, 5, 5),  # 2 convolutions a unit: 1 + 2 * 15 + 1 = 32 layers
        strides=(1, 2, 2),
    ),
    parameters=464_154,
    multiply_adds=68_862_592,
)

RESNET_110 = register(
    dataclasses.replace(RESNET_32, name="resnet-110", units=(18, 18, 18)),
    parameters=1_727_962,
    multiply_adds=252_887_680,
)

RESNET_164 = register(
    dataclasses.replace(RESNET_110, name="resnet-164", block="bottleneck"),
    parameters=1_703_258,
    multiply_adds=244_500_992,
)

REVNET_38 = register(
    dataclasses.replace(
        RESNET_32,
        name="revnet-38",
        family="revnet",
        stem_filters=32,
        filters=(32, 64, 112),
        units=(3, 3, 3),  # 4 convolutions a unit: 1 + 4 * 9 + 1 = 38 layers
    ),
    parameters=464_890,
    multiply_adds=77_231_200,
)

REVNET_110 = register(
    dataclasses.replace(REVNET_38, name="revnet-110", filters=(32, 64, 128), units=(9, 9, 9)),
    parameters=1_729_194,
    multiply_adds=253_330_688,
)

REVNET_164 = register(
    dataclasses.replace(REVNET_110, name="revnet-164", block="bottleneck"),
    parameters=1_748_778,
    multiply_adds=250_188_800,
)


# TensorFlow's eager RevNet: fewer batch norms, pixels in [0, 1].
def _eager(config: Config, parameters: int, multiply_adds: int) -> Config:
    return _config.register(
        dataclasses.replace(
            config,
            name=f"{config.name}-eager",
            leading_activation="stages",
            preprocessor="cifar-unit",
        ),
        source="TensorFlow's eager RevNet",
        parameters=parameters,
        multiply_adds=multiply_adds,
    )


REVNET_38_EAGER = _eager(REVNET_38, 464_026, 77_231_200)
REVNET_110_EAGER = _eager(REVNET_110, 1_725_578, 253_330_688)

# Small enough for tests.
RESNET_TEST = register(
    dataclasses.replace(
        RESNET_32,
        name="resnet-test",
        batch_size=10,
        stem_filters=2,
        filters=(2, 4, 8),
        units=(2, 2, 2),
    ),
    parameters=2_924,
    multiply_adds=460_880,
)

REVNET_TEST = register(
    dataclasses.replace(
        REVNET_38,
        name="revnet-test",
        image_size=8,
        batch_size=10,
        stem_filters=16,
        filters=(16, 32),
        units=(2, 2),
        strides=(1, 2),
    ),
    parameters=23_098,
    multiply_adds=599_360,
)

REVNET_BTL_TEST = register(
    dataclasses.replace(REVNET_TEST, name="revnet-btl-test", block="bottleneck"),
    parameters=28_698,
    multiply_adds=663_808,
)
