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
    )
)

RESNET_110 = register(dataclasses.replace(RESNET_32, name="resnet-110", units=(18, 18, 18)))

RESNET_164 = register(dataclasses.replace(RESNET_110, name="resnet-164", block="bottleneck"))

REVNET_38 = register(
    dataclasses.replace(
        RESNET_32,
        name="revnet-38",
        family="revnet",
        stem_filters=32,
        filters=(32, 64, 112),
        units=(3, 3, 3),  # 4 convolutions a unit: 1 + 4 * 9 + 1 = 38 layers
    )
)

REVNET_110 = register(
    dataclasses.replace(REVNET_38, name="revnet-110", filters=(32, 64, 128), units=(9, 9, 9))
)

REVNET_164 = register(dataclasses.replace(REVNET_110, name="revnet-164", block="bottleneck"))

# TensorFlow's eager RevNet: fewer batch norms, pixels in [0, 1].
for _config_of_paper in (REVNET_38, REVNET_110):
    _config.register(
        dataclasses.replace(
            _config_of_paper,
            name=f"{_config_of_paper.name}-eager",
            leading_activation="stages",
            preprocessor="cifar-unit",
        ),
        source="TensorFlow's eager RevNet",
    )

# Small enough for tests.
RESNET_TEST = register(
    dataclasses.replace(
        RESNET_32,
        name="resnet-test",
        batch_size=10,
        stem_filters=2,
        filters=(2, 4, 8),
        units=(2, 2, 2),
    )
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
    )
)

REVNET_BTL_TEST = register(
    dataclasses.replace(REVNET_TEST, name="revnet-btl-test", block="bottleneck")
)
