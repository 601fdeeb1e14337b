"""ImageNet configs of the RevNet paper.

Gomez et al. 2017, https://arxiv.org/abs/1707.04585: 600,000 steps of 256
images. Bottleneck units throughout; `filters` are a stage's channels before the
bottleneck's factor of 4. revnet-56 ~ resnet-50 and revnet-104 ~ resnet-101 in
parameters. Each trains with

    ./run_imagenet_train.py --model revnet-56
"""

import dataclasses
import functools

from resnet.configs import config as _config
from resnet.configs.config import Config

register = functools.partial(_config.register, source="revnet-public (Gomez et al. 2017)")

RESNET_50 = register(
    Config(
        name="resnet-50",
        family="resnet",
        image_size=224,
        preprocessor="inception",
        num_classes=1000,
        block="bottleneck",
        stem_filters=64,
        stem_kernel=7,
        stem_stride=2,
        stem_max_pool=True,
        filters=(64, 128, 256, 512),
        units=(3, 4, 6, 3),
        strides=(1, 2, 2, 2),
        batch_size=256,
        num_steps=600_000,
        learning_rates=(0.1, 0.01, 0.001, 0.0001),
        boundaries=(160_000, 320_000, 480_000),
        weight_decay=1e-4,
        log_every=10,
        save_every=5_000,
        evaluation_batch_size=50,
    ),
    parameters=25_549_352,
    multiply_adds=3_857_973_248,
)

RESNET_101 = register(
    dataclasses.replace(RESNET_50, name="resnet-101", units=(3, 4, 23, 3)),
    parameters=44_541_480,
    multiply_adds=7_570_194_432,
)

RESNET_152 = register(
    dataclasses.replace(RESNET_50, name="resnet-152", units=(3, 8, 36, 3)),
    parameters=60_185_128,
    multiply_adds=11_282_415_616,
)

REVNET_56 = register(
    dataclasses.replace(
        RESNET_50,
        name="revnet-56",
        family="revnet",
        stem_filters=128,
        filters=(128, 256, 512, 832),
        units=(2, 2, 3, 2),
    ),
    parameters=27_553_128,
    multiply_adds=4_450_928_640,
)

REVNET_104 = register(
    dataclasses.replace(REVNET_56, name="revnet-104", units=(2, 2, 11, 2)),
    parameters=45_428_072,
    multiply_adds=7_944_783_872,
)
