"""Configs: the recipes, validation, and the JSON round trip."""

import dataclasses

import pytest

from resnet.configs import ConfigError, config_from_json, get_config, list_configs


def test_recipes():
    cifar, imagenet = get_config("revnet-38"), get_config("revnet-104")
    assert (cifar.batch_size, cifar.num_steps, cifar.weight_decay) == (100, 80_000, 2e-4)
    rates = [cifar.learning_rate(s) for s in (0, 39_999, 40_000, 59_999, 60_000, 79_999)]
    assert rates == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert (imagenet.batch_size, imagenet.num_steps, imagenet.weight_decay) == (256, 600_000, 1e-4)
    assert imagenet.learning_rate(480_000) == 0.0001


@pytest.mark.parametrize("name", list_configs())
def test_json_round_trip(name):
    config = get_config(name)
    assert config_from_json(config.to_json()) == config


def test_json_fields_change_a_named_config():
    changed = config_from_json({"name": "revnet-38", "units": [5, 5, 5], "weight_decay": 0})
    wanted = dataclasses.replace(get_config("revnet-38"), units=(5, 5, 5), weight_decay=0.0)
    assert changed == wanted
    assert config_from_json({"seed": 3}, get_config("resnet-32")).seed == 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("momentum", 1, r"momentum is 1.0, but must be in \[0, 1\)"),
        ("block", "wide", "block is 'wide', but must be one of basic, bottleneck"),
        ("units", (3, 0, 3), "units is .*, but must be a list of integers of 1 or more"),
        ("batch_size", 0, "batch_size is 0, but must be 1 or more"),
        ("batch_size", True, "batch_size is True, but must be an integer"),
        ("boundaries", (60_000, 40_000), "must be a rising list of 2 steps"),
    ],
)
def test_validation(field, value, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(get_config("revnet-38"), **{field: value})


def test_a_config_without_a_name_needs_a_base():
    with pytest.raises(ConfigError, match="no model"):
        config_from_json({"units": [1, 1, 1]})
