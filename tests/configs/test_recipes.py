"""Every config's recipe, as its paper or project has it."""

import dataclasses

import pytest

from resnet.configs import config_from_json, get_config, list_configs, recipes
from resnet.configs.config import Config
from resnet.settings import RECIPE_NAMES, SettingError

FIELDS = (
    "batch_size",
    "learning_rates",
    "boundaries",
    "num_steps",
    "momentum",
    "nesterov",
    "weight_decay",
    "preprocessor",
)
CIFAR = (100, (0.1, 0.01, 0.001), (40_000, 60_000), 80_000, 0.9, False, 2e-4, "cifar")
TINY = (10, *CIFAR[1:])
EAGER = (*CIFAR[:-1], "cifar-unit")
GRID = (*CIFAR[:-1], "cifar-grid")
IMAGENET = (
    256,
    (0.1, 0.01, 0.001, 0.0001),
    (160_000, 320_000, 480_000),
    600_000,
    0.9,
    False,
    1e-4,
    "inception",
)
# 64,000 steps of 128 images, the first 400 of them slow.
WARM = (
    128,
    (0.01, 0.1, 0.01, 0.001),
    (400, 32_000, 48_000),
    64_000,
    0.9,
    False,
    2e-4,
    "cifar-standard",
)
VGG = (*WARM[:6], 5e-4, "cifar-standard")
WIDE = (
    128,
    (0.1, 0.02, 0.004, 0.0008),
    (24_000, 48_000, 64_000),
    80_000,
    0.9,
    True,
    5e-4,
    "cifar-standard",
)
# 391 steps an epoch of 50,000 images: 150, 225 and 300 epochs.
RESNEXT = (
    128,
    (0.1, 0.01, 0.001),
    (150 * 391, 225 * 391),
    300 * 391,
    0.9,
    False,
    5e-4,
    "cifar-standard",
)
RECIPES = {
    CIFAR: "resnet-32 resnet-110 resnet-164 revnet-38 revnet-110 revnet-164",
    TINY: "resnet-test revnet-test revnet-btl-test",
    EAGER: "revnet-38-eager revnet-110-eager",
    GRID: "irevnet-38 irevnet-110",
    IMAGENET: "resnet-50 resnet-101 resnet-152 revnet-56 revnet-104 irevnet-56",
    WARM: "resnet20-v1 resnet32-v1 resnet44-v1 resnet56-v1 resnet110-v1 resnet20-v2 resnet32-v2 "
    "resnet44-v2 resnet56-v2 resnet110-v2 resnet164-v2 resnet1001-v2 revnet-1001",
    VGG: "vgg-11 vgg-13 vgg-16 vgg-19",
    WIDE: "wrn-16-4 wrn-40-4 wrn-16-8 wrn-28-10 revwrn-40-4 revwrn-28-10",
    RESNEXT: "resnext-29-8x64d",
}
RECIPE_OF = {name: recipe for recipe, names in RECIPES.items() for name in names.split()}


def test_every_config_has_its_recipe():
    assert set(RECIPE_OF) == set(list_configs())


@pytest.mark.parametrize("name", RECIPE_OF)
def test_recipe(name):
    config = get_config(name)
    assert {field: getattr(config, field) for field in FIELDS} == dict(
        zip(FIELDS, RECIPE_OF[name], strict=True)
    )


def test_rates_change_at_their_boundaries():
    config = get_config("resnext-29-8x64d")
    rates = [config.learning_rate(s) for s in (0, 58_649, 58_650, 87_974, 87_975, 117_299)]
    assert rates == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]


def test_named_recipes_fit_every_network_of_small_images():
    assert tuple(recipes.RECIPES) == RECIPE_NAMES
    for name in list_configs():
        base = get_config(name)
        if base.image_size > 32:
            continue
        assert config_from_json({"recipe": "paper"}, base) == base
        for recipe in ("fast", "long"):
            config = config_from_json({"recipe": recipe, "seed": 3}, base)
            wanted = recipes.RECIPES[recipe] | {"recipe": recipe, "seed": 3}
            assert {field: getattr(config, field) for field in wanted} == wanted
            assert (config.units, config.momentum) == (base.units, base.momentum)
            assert get_config(name, recipe) == dataclasses.replace(config, seed=base.seed)
    with pytest.raises(SettingError, match="recipe is 'quick', but must be one of paper, fast, lo"):
        get_config("revnet-38", "quick")


def test_a_recipe_of_another_length_warms_up_for_the_same_share():
    base = get_config("revnet-38")
    for steps, warmup in ((400, 80), (2, 1), (1, 1)):
        short = config_from_json({"recipe": "fast", "num_steps": steps}, base)
        assert (short.num_steps, short.warmup_steps) == (steps, warmup)
    config = config_from_json({"recipe": "fast", "num_epochs": 10}, base)
    assert (config.warmup_steps, config.warmup_epochs) == (0, 2)
    steps = config.in_steps(1_280)
    assert (steps.num_steps, steps.warmup_steps) == (100, 20)
    assert config_from_json({"recipe": "fast", "num_steps": 0}, base).warmup_steps == 0
    own = {"recipe": "fast", "num_steps": 400, "warmup_steps": 7}
    assert config_from_json(own, base).warmup_steps == 7


def test_a_complete_network_of_its_own_name_takes_a_recipe_too():
    own = get_config("revnet-38").to_json()
    required = {field.name for field in dataclasses.fields(Config) if is_required(field)}
    content = {name: own[name] for name in required} | {"name": "own", "recipe": "fast"}
    got, named = (
        config_from_json(content),
        config_from_json({"name": "revnet-38", "recipe": "fast"}),
    )
    for name in recipes.RECIPES["fast"]:
        assert getattr(got, name) == getattr(named, name)
    with pytest.raises(SettingError, match="leave one of them out"):
        config_from_json(content | {"num_epochs": 3, "num_steps": 500})


def is_required(field):
    return field.default is dataclasses.MISSING
