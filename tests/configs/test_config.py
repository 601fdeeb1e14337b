"""Configs: the recipes, validation, and the JSON round trip."""

import dataclasses
import re
import subprocess
import sys

import pytest

from processes import REPOSITORY, run_quickly
from resnet.configs import Config, config_from_json, entry_of, get_config, list_configs
from resnet.configs.config import register
from resnet.settings import RunOptions, SettingError, fields_of


def test_recipes():
    cifar, imagenet = get_config("revnet-38"), get_config("revnet-104")
    assert (cifar.batch_size, cifar.num_steps, cifar.weight_decay) == (100, 80_000, 2e-4)
    rates = [cifar.learning_rate(s) for s in (0, 39_999, 40_000, 59_999, 60_000, 79_999)]
    assert rates == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert (imagenet.batch_size, imagenet.num_steps, imagenet.weight_decay) == (256, 600_000, 1e-4)
    assert imagenet.learning_rate(480_000) == 0.0001


def test_recipes_of_the_zoo():
    resnet, wide = get_config("resnet56-v1"), get_config("wrn-40-4")
    assert (resnet.batch_size, resnet.num_steps, resnet.weight_decay) == (128, 64_000, 2e-4)
    rates = [resnet.learning_rate(s) for s in (0, 399, 400, 31_999, 32_000, 48_000, 63_999)]
    assert rates == [0.01, 0.01, 0.1, 0.1, 0.01, 0.001, 0.001]
    assert (wide.num_steps, wide.weight_decay, wide.nesterov) == (80_000, 5e-4, True)
    rates = [wide.learning_rate(s) for s in (23_999, 24_000, 48_000, 64_000)]
    assert rates == [0.1, 0.02, 0.004, 0.0008]
    assert get_config("vgg-16").weight_decay == 5e-4
    names = [name for name in list_configs() if get_config(name).preprocessor == "cifar-standard"]
    assert len(names) == 5 + 5 + 2 + 4 + 4 + 1 + 3


def test_the_list_names_every_config():
    done = run_quickly("configs")
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["config", "family", "image", "parameters", "multiply-adds", "source"]
    assert [row.split()[0] for row in rows] == list_configs()
    (row,) = (row for row in rows if row.startswith("resnet20-v1 "))
    wanted = ["269,722", "40.6", "M", "cifar-vs-tensorflow2;"]
    assert row.split()[3:7] == wanted


def test_the_list_of_fields_has_every_setting_once():
    done = run_quickly("configs", "--fields")
    assert done.returncode == 0, done.stderr
    first_words = [line.split()[0] for line in done.stdout.splitlines() if line]
    for name in {*fields_of(Config), *fields_of(RunOptions)}:
        assert first_words.count(name) == 1, name
    assert re.search(r"^learning_rates +\[0.1, 0.01, 0.001\] +a list of numbers", done.stdout, re.M)


def test_configs_are_listed_without_tensorflow():
    code = (
        "import sys\n"
        "from resnet.commands.cli import run\n"
        "try:\n"
        "    run('configs', [], 'resnet configs')\n"
        "finally:\n"
        "    assert not {'tensorflow', 'numpy', 'keras'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("revnet-1001 ")


def test_a_name_is_registered_once():
    with pytest.raises(SettingError, match="config 'revnet-38' is registered twice"):
        register(get_config("revnet-38"), "a test", parameters=1, multiply_adds=1)
    assert entry_of("revnet-38").parameters == 464_890


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
        ("momentum", 1, r"momentum is 1, but must be a number in \[0, 1\)"),
        ("block", "wide", "block is 'wide', but must be one of basic, bottleneck"),
        ("units", (3, 0, 3), r"units is .*, but must be a list of integers in \[1, 2\^13\)"),
        ("batch_size", 0, r"batch_size is 0, but must be an integer in \[1, 2\^20\)"),
        ("batch_size", True, "batch_size is True, but must be an integer"),
        ("boundaries", (60_000, 40_000), "must be a rising list of 2 steps"),
        ("learning_rates", (0.1,), r"boundaries is .*empty where .* given as --boundaries ''"),
        ("shortcut", "C", "shortcut is 'C', but must be one of auto, pool, A, B"),
        (
            "bottleneck_stride_at",
            3,
            r"bottleneck_stride_at is 3, but must be an integer in \[1, 3\)",
        ),
        ("cutout", 63, "cutout is 63, but must be at most 62: a larger square leaves nothing"),
        ("dropout", 1, r"dropout is 1, but must be a number in \[0, 1\)"),
        ("filters", (32, 64), r"filters is \(32, 64\), but must be as long as units \(3\)"),
        ("name", "a/b", "name is 'a/b', but must be a plain name without slashes and colons"),
        ("name", "a:b", "name is 'a:b', but must be a plain name"),
        ("name", "", "name is '', but must be a plain name"),
        ("name", "é" * 51, "name is 'é+.*', but must be .*, of at most 100 bytes"),
    ],
)
def test_validation(field, value, message):
    with pytest.raises(SettingError, match=message):
        dataclasses.replace(get_config("revnet-38"), **{field: value})


def test_a_config_without_a_name_needs_a_base():
    with pytest.raises(SettingError, match="no model"):
        config_from_json({"units": [1, 1, 1]})
