"""python -m resnet.experiments: bad files, a killed and resumed one, and its table."""

import csv
import signal
import sys

import pytest

from processes import assert_same_checkpoint, error_of, run_quickly, start
from resnet.errors import UserError
from resnet.experiments.report import write_report
from resnet.extras import load_extra

MODULE = "resnet.experiments"


def places(tmp_path):
    return [f"--results={tmp_path}/results", f"--logs={tmp_path}/logs"]


def write(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return path


def test_everything_wrong_is_named_before_anything_runs(tmp_path):
    path = write(
        tmp_path,
        """\
- name: a
  model: resnet21-v1
  dropot: 0.3
- name: b
  model: resnet20-v1
  dropout: 1.5
- name: c
  max_num_steps: many
  model: [resnet20-v1, wrn-16-4]
- name: d
  model: resnet20-v1
  backprop: reversible
- name: d
  model: resnet20-v1
- model: resnet20-v1
- name: e
  smoke_test: perhaps
- name: f
  model: resnet20-v1
  id: mine
""",
    )
    done = run_quickly(MODULE, path, *places(tmp_path))
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    wanted = [
        "3: unknown key 'dropot': did you mean 'dropout'?",
        "2: a: key 'model': unknown model 'resnet21-v1': did you mean",
        "6: b: config resnet20-v1: dropout is 1.5, but must be in [0, 1)",
        "8: key 'max_num_steps' is 'many', but must be a positive integer",
        "12: d: key 'backprop': backprop \"reversible\" needs a RevNet",
        "15: key 'name' is None, but must be a text",
        "17: key 'smoke_test' must be true or false",
        "20: unknown key 'id'",
        "13: key 'name': 'd' stands in line 10 too",
    ]
    assert len(errors) == len(wanted), done.stderr
    for error, message in zip(errors, wanted, strict=True):
        assert error.startswith(f"error: {path}:{message}"), error
    assert done.returncode == 2
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- name: [", "file.yaml:1: not valid YAML"),
        ("- 3", "file.yaml:1: an experiment must be a mapping"),
        ("", "file.yaml is empty"),
        ("- name: a\n  name: b", "file.yaml:2: key 'name' stands twice, in line 1"),
        ("- module: Models.VGG\n  model: cifar_vgg12", "key 'model' is 'cifar_vgg12', which is"),
    ],
)
def test_files_that_are_no_lists_of_experiments(text, message, tmp_path):
    done = run_quickly(MODULE, write(tmp_path, text), *places(tmp_path))
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert any(message in error for error in errors), done.stderr
    assert done.returncode == 2


FOREIGN = """\
module: 'Models.Resnets'
model: 'cifar_resnet110'
model_parameters:
    shortcut_mode: 'A'
    block_type: 'original'
train_parameters:
    logdir: 'logs'
    run_name: 'resnet110_v1'
    log_interval: 400
    val_interval: 4000
skip_error_test: False
---
module: 'Models.Resnets'
model: 'WRN_40_4'
model_parameters: {}
train_parameters:
    logdir: 'logs'
    run_name: 'WRN_40_4'
    lr_values: [0.1, 0.02, 0.004, 0.0008]
    lr_boundaries: [24000, 48000, 64000, 80000]
    nesterov: True
"""


def test_files_of_cifar_vs_tensorflow2_are_understood(tmp_path):
    path = write(tmp_path, FOREIGN)
    done = run_quickly(MODULE, path, "--dry_run", *places(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"notice: {path}:4: 'shortcut_mode' is understood as 'shortcut_type'",
        f"notice: {path}:14: model 'WRN_40_4', which that project calls cifar_WRN_40_4, is "
        "wrn-40-4",
        "resnet110_v1: resnet110-v1 on cifar-10, new",
        "WRN_40_4: wrn-40-4 on cifar-10, new",
    ]


def test_one_of_them_runs_with_its_own_schedule(tmp_path):
    """Its batch size and log interval, too, and at last its table."""
    text = FOREIGN.partition("---")[0].replace("resnet110", "resnet20").replace("400", "1")
    path = write(tmp_path, text.replace("val_interval", "batch_size: 4\n    val_interval"))
    arguments = ["--max_num_steps=2", "--skip_smoke_tests", "--data_folder=nowhere"]
    done = run_quickly(MODULE, path, *arguments, *places(tmp_path))
    assert done.returncode == 1
    assert "cifar-10 is not in 'nowhere'" in done.stdout  # in the table: there is no other data


SETTINGS = """\
  model: resnet20-v1
  dataset: synthetic
  units: [1, 1, 1]
  batch_size: 8
  evaluation_batch_size: 500
  log_every: 1
  save_every: 4
"""
THREE = f"""\
- name: good
{SETTINGS}  seeds: [0, 1]
  max_num_steps: 30
- name: bad
{SETTINGS}  learning_rates: [1.0e+30]
  boundaries: []
  smoke_test: false
- name: missing
{SETTINGS}  validation: true
  init_from: nobody
"""


def test_a_killed_file_is_resumed_and_tabled(tmp_path):
    path = write(tmp_path, THREE)
    process = start(MODULE, path, "--skip_smoke_tests", *places(tmp_path))
    for line in process.stdout:
        if line.startswith("== good.seed-1"):
            break
    for line in process.stdout:
        if line.startswith("step 9:"):
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.read()  # ends when the training has saved and ended
    process.communicate()
    assert not (tmp_path / "results/good.seed-1/result.json").exists()

    done = run_quickly(MODULE, path, *places(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "== good.seed-0 is finished" in done.stdout
    assert "restored" in done.stdout
    assert "== smoke test of missing" in done.stdout and "smoke test of bad" not in done.stdout
    header, good, bad, missing = done.stdout.split("\n\n")[-2].splitlines()
    assert header.split()[0] == "experiment"
    assert "2 of 2" in good and "±" in good and "272" not in good.split()[0]
    assert "0 of 1" in bad and "Lower learning_rates" in bad
    assert "smoke test: --init_from: no checkpoint" in missing
    with open(tmp_path / "results/file.experiments/table.csv", newline="") as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    assert (rows["good"]["runs"], rows["good"]["unfinished"]) == ("2", "0")
    assert float(rows["good"]["seconds"]) > 0 and float(rows["good"]["accuracy_deviation"]) >= 0
    table = (tmp_path / "results/file.experiments/table.md").read_text().splitlines()
    assert table[0].startswith("| experiment | runs |") and len(table) == 5

    # The killed run ends as one that was not.
    alone = f"- name: alone\n{SETTINGS}  seed: 1\n  max_num_steps: 30\n"
    again = run_quickly(MODULE, write(tmp_path, alone), "--skip_smoke_tests", *places(tmp_path))
    assert again.returncode == 0, again.stderr
    ends = [tmp_path / "results" / name / "model.ckpt-30" for name in ("good.seed-1", "alone")]
    assert_same_checkpoint(*ends)

    changed = write(tmp_path, alone.replace("units: [1, 1, 1]", "units: [2, 1, 1]"))
    done = run_quickly(MODULE, changed, *places(tmp_path))
    assert "alone has begun with units (1, 1, 1), but the file says (2, 1, 1)" in error_of(done)


def test_seeds_have_mean_and_deviation(tmp_path):
    class Run:
        id, group = "a.seed-0", "a"

    class Outcome:
        run, message = Run, ""

        def __init__(self, accuracy):
            self.result = {
                "accuracy": {"test": {"top1": accuracy}},
                "training_seconds": 10.0,
                "peak_mb": 100.0,
                "parameters": 1234,
            }

    text = write_report([Outcome(90.0), Outcome(92.0), Outcome(94.0)], tmp_path)
    assert "3 of 3" in text and "92.00 ± 2.00" in text and "1,234" in text


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(UserError, match=r"needs pyyaml, .* pip install pyyaml"):
        load_extra("yaml", "experiments")
