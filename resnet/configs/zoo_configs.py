"""CIFAR configs of cifar-vs-tensorflow2, and reversible forms of its wide and deep ones.

https://github.com/gahaalt/cifar-vs-tensorflow2. Each trains with

    ./run_cifar_train.py --dataset cifar-10 --model resnet20-v1

and its own recipe: channels standardised, images padded by 4 pixels, 64,000 steps of 128
images (164 epochs). They are not revnet-public's networks of similar names (resnet-32,
resnet-110, resnet-164), which have another input, shortcut and schedule.
"""

import dataclasses

from resnet.configs.config import Config, register

PROJECT = "cifar-vs-tensorflow2"
V1 = f"{PROJECT}; He et al. 2015, 1512.03385"
V2 = f"{PROJECT}; He et al. 2016, 1603.05027"
WIDE = f"{PROJECT}; Zagoruyko & Komodakis 2016, 1605.07146"
VGG = f"{PROJECT}; Simonyan & Zisserman 2014, 1409.1556"
RESNEXT = "Xie et al. 2016, 1611.05431"

RESNET_20_V1 = register(
    Config(
        name="resnet20-v1",
        family="resnet",
        image_size=32,
        num_classes=10,
        block="basic",
        stem_filters=16,
        filters=(16, 32, 64),
        units=(3, 3, 3),  # 2 convolutions a unit: 1 + 2 * 9 + 1 = 20 layers
        strides=(1, 2, 2),
        preprocessor="cifar-standard",
        activation_order="original",
        shortcut="A",
        initializer="he_normal",
        batch_size=128,
        num_steps=64_000,
        learning_rates=(0.01, 0.1, 0.01, 0.001),
        boundaries=(400, 32_000, 48_000),
        weight_decay=2e-4,  # the gradient of 1e-4 * sum(w ** 2)
        log_every=200,
        evaluate_every=2_000,
        save_every=4_000,
    ),
    V1,
    parameters=269_722,
    multiply_adds=40_551_040,
)
_RESNET_20_V2 = dataclasses.replace(RESNET_20_V1, activation_order="preactivated")

# Units of a stage: (parameters, multiply-adds).
for _num_units, (_parameters, _multiply_adds) in {
    5: (464_154, 68_862_592),
    7: (658_586, 97_174_144),
    9: (853_018, 125_485_696),
    18: (1_727_962, 252_887_680),
}.items():
    register(
        dataclasses.replace(
            RESNET_20_V1, name=f"resnet{6 * _num_units + 2}-v1", units=(_num_units,) * 3
        ),
        V1,
        parameters=_parameters,
        multiply_adds=_multiply_adds,
    )
for _num_units, (_parameters, _multiply_adds) in {
    3: (269_722, 40_551_040),
    5: (464_154, 68_862_592),
    7: (658_586, 97_174_144),
    9: (853_018, 125_485_696),
    18: (1_730_522, 253_149_824),
}.items():
    _depth = 6 * _num_units + 2
    register(
        dataclasses.replace(
            _RESNET_20_V2,
            name=f"resnet{_depth}-v2",
            units=(_num_units,) * 3,
            shortcut="B" if _depth == 110 else "A",
        ),
        V2,
        parameters=_parameters,
        multiply_adds=_multiply_adds,
    )

RESNET_164_V2 = register(
    dataclasses.replace(
        _RESNET_20_V2,
        name="resnet164-v2",
        block="bottleneck",
        units=(18, 18, 18),  # 3 convolutions a unit: 1 + 3 * 54 + 1 = 164 layers
        shortcut="B",
        preactivate_shortcut=True,
        bottleneck_stride_at=2,
    ),
    V2,
    parameters=1_703_258,
    multiply_adds=247_646_720,
)
RESNET_1001_V2 = register(
    dataclasses.replace(RESNET_164_V2, name="resnet1001-v2", units=(111, 111, 111)),
    V2,
    parameters=10_327_706,
    multiply_adds=1_490_995_712,
)

WRN_16_4 = register(
    dataclasses.replace(
        _RESNET_20_V2,
        name="wrn-16-4",
        filters=(64, 128, 256),
        units=(2, 2, 2),  # 2 convolutions a unit and 2 projections: 16 = 6 * 2 + 4
        shortcut="B",
        preactivate_shortcut=True,
        learning_rates=(0.1, 0.02, 0.004, 0.0008),
        boundaries=(24_000, 48_000, 64_000),
        num_steps=80_000,
        nesterov=True,
        weight_decay=5e-4,
    ),
    WIDE,
    parameters=2_748_890,
    multiply_adds=392_612_352,
)


def _wide(name: str, num_units: int, width: int, parameters: int, multiply_adds: int) -> Config:
    filters = tuple(width * filters for filters in (16, 32, 64))
    return register(
        dataclasses.replace(WRN_16_4, name=name, filters=filters, units=(num_units,) * 3),
        WIDE,
        parameters=parameters,
        multiply_adds=multiply_adds,
    )


WRN_40_4 = _wide("wrn-40-4", 6, 4, 8_949_210, 1_298_582_016)
WRN_16_8 = _wide("wrn-16-8", 2, 8, 10_961_370, 1_548_145_664)
WRN_28_10 = _wide("wrn-28-10", 4, 10, 36_479_194, 5_243_328_768)

# Name: (convolutions of each stage, parameters, multiply-adds).
for _name, (_units, _parameters, _multiply_adds) in {
    "vgg-11": ((1, 1, 2, 2, 2), 9_231_114, 152_769_536),
    "vgg-13": ((2, 2, 2, 2, 2), 9_416_010, 228_267_008),
    "vgg-16": ((2, 2, 3, 3, 3), 14_728_266, 313_201_664),
    "vgg-19": ((2, 2, 4, 4, 4), 20_040_522, 398_136_320),
}.items():
    register(
        dataclasses.replace(
            RESNET_20_V1,
            name=_name,
            family="vgg",
            activation_order="preactivated",
            shortcut="auto",
            stem_filters=0,
            filters=(64, 128, 256, 512, 512),
            units=_units,
            strides=(1,) * 5,
            weight_decay=5e-4,
        ),
        VGG,
        parameters=_parameters,
        multiply_adds=_multiply_adds,
    )

RESNEXT_29_8X64D = register(
    dataclasses.replace(
        RESNET_20_V1,
        name="resnext-29-8x64d",
        block="bottleneck",
        stem_filters=64,
        filters=(64, 128, 256),
        units=(3, 3, 3),  # 3 convolutions a unit: 1 + 3 * 9 + 1 = 29 layers
        shortcut="B",
        bottleneck_width=8,  # 8 groups of 64 channels in the first stage
        bottleneck_stride_at=2,
        cardinality=8,
        learning_rates=(0.1, 0.01, 0.001),
        boundaries=(58_650, 87_975),  # epochs 150 and 225 of 300
        num_steps=117_300,
        weight_decay=5e-4,
    ),
    RESNEXT,
    parameters=34_426_698,
    multiply_adds=5_387_266_048,
)


# Reversible forms: halves as wide as the original and half the units, so that both have the
# same number of convolutions of the same shapes.
def _reversible(
    config: Config, name: str, units: tuple[int, ...], parameters: int, multiply_adds: int
) -> Config:
    return register(
        dataclasses.replace(
            config,
            name=name,
            family="revnet",
            stem_filters=2 * config.stem_filters,
            filters=tuple(2 * filters for filters in config.filters),
            units=units,
            preactivate_shortcut=False,  # of a half that its residual function does not see
        ),
        f"reversible form of {config.name}",
        parameters=parameters,
        multiply_adds=multiply_adds,
    )


_reversible(WRN_40_4, "revwrn-40-4", (3, 3, 3), 8_994_730, 1_304_269_824)
_reversible(WRN_28_10, "revwrn-28-10", (2, 2, 2), 36_745_898, 5_272_613_376)
# 6 convolutions a unit: 1 + 6 * 167 + 1 = 1,004 layers.
_reversible(RESNET_1001_V2, "revnet-1001", (56, 56, 55), 10_325_162, 1_501_139_968)
