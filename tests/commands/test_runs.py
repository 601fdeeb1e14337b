"""Runs of experiments: the flags that a process gets, and the signals that are handed on."""

import json
import os
import pathlib
import signal
import threading
import time

import pytest

from resnet.commands.experiments import runs
from resnet.commands.experiments.plan import read_plan
from resnet.commands.experiments.runs import Runner
from resnet.errors import UsageError

FILE = """\
- name: one
  model: resnet20-v1
  units: [1, 1, 1]
  batch_size: 8
- name: two
  model: resnet20-v1
  max_num_steps: 5
  validation: true
  seeds: [1, 2]
"""
# Stands for the training command: notes its arguments, and ends as it is told to.
CHILD = """
import json, os, pathlib, signal, sys, time
def stop(*_):
    sys.exit("error: stopped at step 7")
signal.signal(signal.SIGTERM, stop)
pathlib.Path(os.environ["ARGUMENTS"]).write_text(json.dumps(sys.argv[1:]))
if "--smoke_test" in sys.argv:
    sys.exit("warning: this\\nerror: that went wrong")
time.sleep(60 if "--max_num_steps=9" in sys.argv else 0)
"""


@pytest.fixture
def plan(tmp_path):
    def read(**defaults):
        path = tmp_path / "file.yaml"
        path.write_text(FILE)
        found, problems, _ = read_plan(path, tmp_path / "results", defaults)
        assert not problems, problems
        return found

    return read


@pytest.fixture
def runner(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "TRAIN", ("-c", CHILD))
    monkeypatch.setenv("ARGUMENTS", str(tmp_path / "arguments"))
    folders = (tmp_path / "results" / "file.experiments", tmp_path / "results", tmp_path / "logs")
    runner = Runner(*folders)
    with runner.alone(tmp_path / "file.yaml"):
        yield runner


def arguments_of(tmp_path):
    """What the process was given, {flag: value}."""
    given = json.loads((tmp_path / "arguments").read_text())
    return dict(argument.removeprefix("--").partition("=")[::2] for argument in given)


def test_a_file_whose_folder_has_a_name_that_is_not_utf_8_keeps_its_runs(tmp_path):
    runner = Runner(tmp_path / "of_it", tmp_path, tmp_path)
    for _ in range(2):
        with runner.alone(tmp_path / os.fsdecode(b"caf\xe9") / "file.yaml"):
            pass
    message = r"of_it is of .*/caf\\udce9/file.yaml: rename "
    with pytest.raises(UsageError, match=message), runner.alone(tmp_path / "other.yaml"):
        pass


def test_flags_hold_for_what_the_file_does_not_say(plan):
    one, *two = plan(dataset="synthetic", max_num_steps=3, batch_size=16)
    assert (one.options.max_num_steps, one.config.batch_size) == (3, 8)
    assert [(run.options.max_num_steps, run.config.batch_size) for run in two] == [(5, 16)] * 2
    assert {run.options.dataset for run in (one, *two)} == {"synthetic"}
    assert [run.config.seed for run in (one, *two)] == [0, 1, 2]
    assert plan()[0].options.max_num_steps is None


def test_pretrained_weights_say_the_model(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text(
        "- name: tuned\n"
        "  init_from: [pretrained:resnet-32:cifar-10, pretrained:revnet-38:cifar-10]\n"
        "- {name: other, init_from: pretrained:resnet-32:cifar-10, model: resnet20-v1}\n"
    )
    found, problems, _ = read_plan(path, tmp_path / "results", {})
    assert not problems, problems
    assert [run.flags["model"] for run in found] == ["resnet-32", "revnet-38", "resnet20-v1"]
    assert [run.config.name for run in found] == ["resnet-32", "revnet-38", "resnet20-v1"]
    found, *_ = read_plan(path, tmp_path / "results", {"model": "wrn-16-4"})
    assert [run.config.name for run in found] == ["wrn-16-4", "wrn-16-4", "resnet20-v1"]


def test_a_process_gets_the_runs_flags_and_network(plan, runner, tmp_path):
    one, two, _ = plan(dataset="synthetic", max_num_steps=3)
    outcome = runner.train(one)
    assert outcome.message == "ended without a result" and outcome.result is None
    found = arguments_of(tmp_path)
    config = pathlib.Path(found.pop("config"))
    assert json.loads(config.read_text()) == {"units": [1, 1, 1]}
    assert found == {
        "id": "one",
        "model": "resnet20-v1",
        "dataset": "synthetic",
        "max_num_steps": "3",
        "batch_size": "8",
        "results": str(tmp_path / "results"),
        "logs": str(tmp_path / "logs"),
    }
    runner.train(two)
    found = arguments_of(tmp_path)
    assert found["id"] == "two.seed-1" and found["seed"] == "1" and "validation" in found


def test_a_failed_trial_names_the_error(plan, runner, tmp_path):
    outcome = runner.smoke_test(plan()[0])
    assert outcome.message == "smoke test: that went wrong"
    assert "smoke_test" in arguments_of(tmp_path)


def test_a_signal_is_handed_on_to_the_running_training(plan, runner, tmp_path):
    def ask_to_stop():
        while not (tmp_path / "arguments").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=ask_to_stop)
    thread.start()
    start = time.monotonic()
    outcome = runner.train(plan(max_num_steps=9)[0])
    thread.join()
    assert outcome.message == "stopped" and runner.is_stopped
    assert time.monotonic() - start < 30


def test_processes_find_the_package_without_its_being_installed(monkeypatch):
    assert runs._with_package(None) == str(runs.PACKAGE_ROOT)
    assert runs._with_package("a").split(os.pathsep) == [str(runs.PACKAGE_ROOT), "a"]
    assert (runs.PACKAGE_ROOT / "resnet" / "__main__.py").exists()
