"""Settings: one description each, from which flags, checks, help and the page come."""

import dataclasses
import json
import subprocess
import sys

import pytest

from processes import REPOSITORY
from resnet.commands.cli import COMMANDS
from resnet.commands.configs import fields_page
from resnet.commands.flags import Flags
from resnet.configs import config_from_json, get_config
from resnet.errors import UsageError
from resnet.settings import FREE, NetworkSettings, Recipe, RunOptions, SettingError, fields_of

CLASSES = (NetworkSettings, Recipe, RunOptions)
FIELDS = {n: field for one in CLASSES for n, field in fields_of(one).items()}


def test_the_page_is_current():
    page = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == fields_page(), "resnet configs --fields --markdown > docs/settings.md"
    for name in FIELDS:
        assert f"| `{name}` |" in page


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_described(name):
    facts = FIELDS[name].facts
    assert facts.help.endswith(".") and facts.group
    assert FIELDS[name].default is dataclasses.MISSING or (
        FIELDS[name].checked(FIELDS[name].default) == FIELDS[name].default
    )


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("batch_size", "7", 7),
        ("learning_rates", "0.1,1e-2", (0.1, 0.01)),
        ("boundaries", "", ()),
        ("units", "3, 4", (3, 4)),
        ("memory_budget", "2GB", 2 * 10**9),
        ("dtype", "bfloat16", "bfloat16"),
        ("weight_decay", "5e-4", 5e-4),
    ],
)
def test_texts_of_flags(name, value, found):
    assert FIELDS[name].parsed(value) == found


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("batch_size", 1.0, r"batch_size is 1.0, but must be an integer in \[1, 2\^20\)"),
        ("batch_size", True, "batch_size is True"),
        ("seed", 2**31, r"must be an integer in \[0, 2\^31\)"),
        ("dropout", float("nan"), r"must be a number in \[0, 1\)"),
        ("learning_rates", [0.1, "x"], "must be a list of numbers of 0 or more"),
        ("learning_rates", [], "must be a list"),
        ("learning_rates", [float("inf")], "must be a list"),
        ("weight_decay", 10**400, "must be a number of 0 or more"),
        ("jit", "maybe", "must be one of auto, on, off"),
        ("memory_budget", "2XB", "'2XB' is not a size"),
        ("num_gpu", -1, r"must be an integer in \[0, 2\^10\), or null"),
        ("nesterov", 1, "must be true or false"),
    ],
)
def test_values_that_do_not_fit(name, value, message):
    with pytest.raises(SettingError, match=message) as caught:
        FIELDS[name].checked(value)
    assert caught.value.keys[0] == name


def test_values_as_files_have_them():
    assert FIELDS["jit"].checked(True) == "on"  # YAML 1.1 reads on as true
    assert FIELDS["learning_rates"].checked([1]) == (1.0,)
    assert FIELDS["num_gpu"].checked(None) is None


def test_errors_name_the_keys_that_they_are_about():
    config = get_config("revnet-38")
    with pytest.raises(SettingError) as caught:
        dataclasses.replace(config, units=(1, 2))
    assert caught.value.keys == ("filters", "units")
    with pytest.raises(SettingError) as caught:
        config_from_json({"name": "revnet-38", "bach_size": 1})
    assert caught.value.keys == ("bach_size",) and "'batch_size'" in str(caught.value)


def test_what_a_restored_run_may_change():
    assert {
        *("backprop", "loop", "memory_budget", "jit", "steps_per_call", "strict"),
        *("num_gpu", "logical_cpus", "num_pass", "deterministic"),
        *("log_every", "evaluate_every", "save_every", "check_gradients_every"),
        *("max_num_steps", "eval_images", "keep_checkpoints", "keep_best", "test_time_flip"),
        *("fused_update", "nan_policy", "nan_limit", "exact_policy"),
    } == FREE


def test_old_files_are_read_as_before():
    """A conf.json of the first versions."""
    content = get_config("revnet-38").to_json()
    before = ("activation_order", "leading_activation", "shortcut", "nesterov", "dropout")
    for name in before:
        content.pop(name)
    assert config_from_json(json.loads(json.dumps(content))) == get_config("revnet-38")
    assert RunOptions(dataset="cifar-10", backprop="reversible", exact=True).num_pass == 1


def flags_of(name, *arguments):
    import importlib

    module = importlib.import_module(COMMANDS[name].module)
    flags = Flags(f"resnet {name}", f"resnet {name}", getattr(module, "ESSENTIAL", ()))
    module.define_flags(flags)
    flags.parse(list(arguments))
    return flags


def test_every_setting_of_the_recipe_and_run_is_a_flag():
    flags = flags_of("train-cifar", "--learning_rates=0.1", "--noexact")
    for name in {*fields_of(Recipe), *fields_of(RunOptions)} - {"deterministic"}:
        assert name in flags, name
    assert flags.learning_rates == (0.1,) and flags.exact is False and flags.batch_size is None
    assert flags.is_given("exact") and not flags.is_given("batch_size")
    with pytest.raises(UsageError, match="did you mean 'learning_rates'"):
        flags_of("train-cifar", "--learning_rate=1")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_needs_no_tensorflow(name):
    code = (
        "import sys; sys.argv = ['resnet', *sys.argv[1:]]; from resnet.commands.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, name, "--help"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(done.stdout.splitlines()) > 5


def test_unknown_commands_name_the_nearest():
    command = [sys.executable, "-m", "resnet", "plto"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=60
    )
    assert (done.returncode, done.stderr) == (
        2,
        "error: unknown command 'plto': did you mean 'plot'?\n",
    )
