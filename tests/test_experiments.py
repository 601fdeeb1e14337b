"""python -m resnet experiments: bad files, a killed and resumed one, and its table."""

import csv
import fcntl
import json
import signal
import sys

import pytest

from processes import assert_same_checkpoint, error_of, run_quickly, start
from resnet.commands.experiments.cifar_vs_tensorflow2 import translate
from resnet.commands.experiments.plan import read_plan
from resnet.commands.experiments.report import write_report
from resnet.commands.experiments.yaml_file import Value
from resnet.errors import UserError
from resnet.extras import load_extra
from resnet.table import markdown

MODULE = "experiments"


def places(tmp_path):
    return [f"--results={tmp_path}/results", f"--logs={tmp_path}/logs"]


def write(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return path


def test_a_path_that_is_no_file_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "gone.yaml"):
        with pytest.raises(UserError, match=r"cannot be read .*: give the path of a YAML file"):
            read_plan(path, tmp_path / "results", {})


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
- name: f
  num_pass: 3
  model: resnet20-v1
- name: g
  preprocessor: inception
  model: resnet20-v1
- name: h
  memory_budget: 1GB
  model: resnet20-v1
- name: i
  init_from: nobody
  model: resnet20-v1
- name: j
  seeds: []
  jit: off
- name: ..
  weight_decay: 5e-4
- name: k
  seed: 1
  seeds: [1]
- name: l
  dropout: [0.1]
- name: l.dropout-0.1
""",
    )
    done = run_quickly(MODULE, path, *places(tmp_path))
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    wanted = [
        "3: unknown key 'dropot': did you mean 'dropout'?",
        "2: a: key 'model': unknown model 'resnet21-v1': did you mean",
        "6: key 'dropout': dropout is 1.5, but must be a number in [0, 1)",
        "8: key 'max_num_steps': max_num_steps is 'many', but must be an integer in [1, 2^31)",
        "12: d: key 'backprop': backprop \"reversible\" needs a RevNet",
        "13: key 'name': 'd' stands in line 10 too",
        "15: key 'name' is missing, but must be a text",
        "17: key 'smoke_test' must be true or false",
        "20: unknown key 'id'",
        "21: key 'name': 'f' stands in line 18 too",
        "22: f: key 'num_pass': batch_size is 128, which does not divide over 3 passes",
        "25: g: key 'preprocessor': resnet20-v1 takes",
        "28: h: key 'memory_budget': a memory budget needs backprop",
        "31: i: key 'init_from': init_from is 'nobody', which is no run above",
        "34: key 'seeds' lists no value",
        "36: key 'name' is '..', but must be a text",
        "39: keys 'seed' and 'seeds' exclude each other",
        "43: its run l.dropout-0.1 is one of 'l' too: rename one",
    ]
    assert len(errors) == len(wanted), done.stderr
    for error, message in zip(errors, wanted, strict=True):
        assert error.startswith(f"error: {path}:{message}"), error
    assert done.returncode == 2
    assert not (tmp_path / "results").exists()


def test_rows_and_best_checkpoints_that_do_not_fit(tmp_path):
    path = write(
        tmp_path,
        """\
- {name: a, dataset: synthetic, model: [resnet20-v1], seeds: [0]}
- {name: a.model-resnet20-v1, dataset: synthetic, model: resnet20-v1, seeds: [1]}
- {name: b, dataset: synthetic, init_from: a.model-resnet20-v1.seed-0/best}
- {name: c, dataset: synthetic, model: resnet20-v1, keep_best: true}
- {name: d, dataset: synthetic, init_from: c/best}
""",
    )
    _, problems, _ = read_plan(path, tmp_path / "results", {})
    row, best = problems
    assert ":2: its row a.model-resnet20-v1 is one of 'a' too: rename one" in row
    assert ":3: b: key 'init_from'" in best and "seed-0 keeps no best: give it keep_best" in best


def test_data_that_is_not_there_is_named_by_line_and_nothing_wrong_twice(tmp_path):
    path = write(
        tmp_path,
        f"""- name: a
  dataset: synthetic
  batch_size: 10
  num_pass: 3
- name: b
  data_folder: {tmp_path}/nowhere
  dataset: folder
""",
    )
    done = run_quickly(MODULE, path, *places(tmp_path), "--dry_run")
    first, second = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert f"{path}:3: a: key 'batch_size': batch_size is 10, which does not divide" in first
    assert f"{path}:7: b: key 'dataset': no folder '{tmp_path}/nowhere'" in second
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- name: [", "file.yaml:1: not valid YAML"),
        ("- 3", "file.yaml:1: an experiment must be a mapping"),
        ("", "file.yaml is empty"),
        ("- name: a\n  name: b", "file.yaml:2: key 'name' stands twice, in line 1"),
        ("- &a {name: x, b: *a}", "file.yaml:1: not valid YAML"),
        ("- module: M\n  model: cifar_vgg11\n  train_parameters: [1]", "but must be a mapping"),
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


def mapping(**keys):
    """{key: Value}, as read_mappings has it, of keys in line 3."""
    return {
        key: Value(mapping(**content) if isinstance(content, dict) else content, 3)
        for key, content in keys.items()
    }


def translated(model="cifar_resnet110", train=(), **parameters):
    return translate(
        1,
        mapping(
            module="Models.Resnets",
            model=model,
            model_parameters=parameters,
            train_parameters={"run_name": "a b/c", **dict(train)},
        ),
    )


def test_what_its_keys_mean():
    train = {"lr_values": [0.1, 0.02], "lr_boundaries": [10, 30], "nesterov": True}
    train |= {"log_interval": 7, "val_interval": 8, "batch_size": 9, "logdir": "there"}
    found, problems, notices = translated(
        "cifar_resnet20", train, l2_reg=1e-3, dropout=0.5, shortcut_type="B"
    )
    assert (problems, notices) == ([], [])
    assert {key: value.content for key, value in found.items()} == {
        "name": "a-b-c",
        "model": "resnet20-v1",
        "dataset": "cifar-10",
        "shortcut": "B",
        "dropout": 0.5,
        "weight_decay": 2e-3,
        "learning_rates": [0.1, 0.02],
        "boundaries": [10],
        "num_steps": 30,
        "nesterov": True,
        "log_every": 7,
        "evaluate_every": 8,
        "batch_size": 9,
        "logs": "there",
    }


def test_what_it_takes_for_granted():
    found, *_ = translated("cifar_WRN_16_4")
    assert (found["model"].content, found["num_steps"].content) == ("wrn-16-4", 64_000)
    assert found["learning_rates"].content == [0.01, 0.1, 0.01, 0.001]
    assert found["nesterov"].content is False
    # Shortcut B, whatever the block, in its deep networks alone.
    for block, config in (("original", "resnet110-v1"), ("preactivated", "resnet110-v2")):
        found, *_ = translated(block_type=block)
        assert (found["model"].content, found["shortcut"].content) == (config, "B")
    assert "shortcut" not in translated("cifar_resnet56")[0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"l2_reg": None}, "key 'l2_reg' is None, but must be a number"),
        ({"l2_reg": [1e-4]}, "key 'l2_reg' is [0.0001], but must be a number"),
        ({"block_type": "wide"}, "key 'block_type' is 'wide', but must be original or"),
        ({"block_type": ["original"]}, "but must be a text"),
        ({"load_weights": True}, "resnet import"),
        ({"width": 3}, "unknown key 'width' of 'model_parameters'"),
        ({"train": {"lr_values": 0.1, "lr_boundaries": 5}}, "but must be a list of numbers"),
        ({"train": {"lr_values": [], "lr_boundaries": []}}, "but must be a list of numbers"),
        ({"train": {"lr_values": [0.1]}}, "must be lists of equal length"),
        ({"train": {"batch_size": 0}}, "key 'batch_size' is 0, but must be a positive integer"),
    ],
)
def test_its_bad_values_are_named_by_its_own_keys(keys, message):
    _, problems, _ = translated(**keys)
    assert any(line == 3 and message in text for line, text in problems), problems


SETTINGS = """\
  model: resnet20-v1
  dataset: synthetic
  units: [1, 1, 1]
  batch_size: 8
  evaluation_batch_size: 500
  log_every: 1
  save_every: 4
"""
GOOD = f"""\
- name: good
{SETTINGS}  seeds: [1]
"""
THREE = f"""\
{GOOD}  max_num_steps: 16
- name: bad
{SETTINGS}  learning_rates: [1.0e+30]
  boundaries: []
- name: tuned
{SETTINGS}  init_from: good.seed-1
  max_num_steps: 1
  smoke_test: false
"""


def test_a_killed_file_is_resumed_and_tabled(tmp_path):
    path, results = write(tmp_path, THREE), tmp_path / "results"
    process = start(MODULE, path, "--skip_smoke_tests", *places(tmp_path))
    for line in process.stdout:
        if line.startswith("step 9:"):
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.read()  # ends when the training has saved and ended
    process.communicate()
    with open(results / "file.experiments/lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the last of its files to be closed
    assert not (results / "good.seed-1/result.json").exists()

    # To a later end, too.
    later = f"{GOOD}  max_num_steps: 17\n"
    write(tmp_path, THREE.replace(f"{GOOD}  max_num_steps: 16\n", later))
    done = run_quickly(MODULE, path, *places(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "restored" in done.stdout, done.stdout
    assert "smoke test of bad" in done.stdout and "smoke test of tuned" not in done.stdout
    header, good, bad, tuned = done.stdout.split("\n\n")[-2].splitlines()
    assert header.split()[0] == "experiment" and "1 of 1" in good
    assert "0 of 1" in bad and "smoke test: the loss became" in bad
    assert "1 of 1" in tuned and "weights of" in done.stdout
    with open(results / "file.experiments/table.csv", newline="") as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    assert (rows["good"]["runs"], rows["good"]["unfinished"]) == ("1", "0")
    assert float(rows["good"]["seconds"]) > 0 and float(rows["good"]["peak_mb"]) > 0
    table = (results / "file.experiments/table.md").read_text().splitlines()
    assert table[0].startswith("| experiment | runs |") and len(table) == 5

    # It ends as one that was never killed.
    config = results / "file.experiments/good.seed-1.json"
    arguments = [f"--config={config}", "--model=resnet20-v1", "--dataset=synthetic", "--seed=1"]
    arguments += ["--id=alone", "--batch_size=8", "--save_every=4", "--max_num_steps=17"]
    alone = run_quickly("run_cifar_train.py", *arguments, *places(tmp_path))
    assert alone.returncode == 0, alone.stderr
    ends = [results / name / "model.ckpt-17" for name in ("good.seed-1", "alone")]
    assert_same_checkpoint(*ends)

    again = run_quickly(MODULE, write(tmp_path, later), *places(tmp_path))
    assert again.returncode == 0 and "== good.seed-1 is finished" in again.stdout, again.stderr
    for change, message in {
        "units: [2, 1, 1]": "units was (1, 1, 1), but is (2, 1, 1) now",
        "units: [1, 1, 1]\n  max_num_steps: 5": "it has reached step 17, but ends at 5 now",
    }.items():
        write(tmp_path, GOOD.replace("units: [1, 1, 1]", change))
        done = run_quickly(MODULE, path, *places(tmp_path))
        assert f"{path}:1: good.seed-1 has begun otherwise: {message}" in error_of(done)
    moved = tmp_path / "moved" / "file.yaml"
    moved.parent.mkdir()
    moved.write_text(later)
    done = run_quickly(MODULE, moved, *places(tmp_path))
    assert f"file.experiments is of {path}" in error_of(done)


def test_the_weights_that_an_experiment_starts_from_say_how_images_are_prepared(tmp_path):
    source = f"{GOOD}  max_num_steps: 1\n  preprocessor: cifar-unit\n"
    tuned = f"- name: tuned\n{SETTINGS}  init_from: good.seed-1\n  max_num_steps: 1\n"
    own = tuned.replace("name: tuned", "name: own")
    path = write(tmp_path, f"{source}{tuned}{own}  preprocessor: cifar\n")
    done = run_quickly(MODULE, path, "--skip_smoke_tests", *places(tmp_path))
    assert "images are prepared as for good.seed-1: cifar-unit" in done.stdout, done.stderr
    again = run_quickly(MODULE, write(tmp_path, source + tuned), *places(tmp_path))
    assert again.returncode == 0 and "== tuned is finished" in again.stdout, again.stderr
    write(tmp_path, f"{source}{tuned}  preprocessor: cifar\n")
    done = run_quickly(MODULE, path, *places(tmp_path))
    assert "tuned has begun otherwise: preprocessor was cifar-unit, but is cifar now" in error_of(
        done
    )
    write(tmp_path, source + own)  # what was said is neither said now nor as of the weights
    message = "own has begun otherwise: preprocessor was cifar, but is cifar-standard now"
    assert message in error_of(run_quickly(MODULE, path, *places(tmp_path)))


def test_a_recipe_and_what_it_sets_go_together(tmp_path):
    lines = "- name: own\n  dataset: synthetic\n  model: resnet20-v1\n  recipe: fast\n"
    path = write(tmp_path, f"{lines}  preprocessor: cifar-unit\n  max_num_steps: 1\n")
    done = run_quickly(MODULE, path, "--skip_smoke_tests", *places(tmp_path))
    assert done.returncode == 0, done.stderr
    conf = json.loads((tmp_path / "results/own/conf.json").read_text())
    assert (conf["recipe"], conf["optimizer"], conf["preprocessor"]) == (
        ("fast", "muon", "cifar-unit")
    )


def test_a_length_of_ones_own_counts_before_a_flag_in_epochs(tmp_path):
    line = "- name: {}\n  dataset: synthetic\n  model: resnet20-v1\n  recipe: fast\n"
    path = write(tmp_path, f"{line.format('own')}  num_steps: 600\n{line.format('other')}")
    runs, problems, _ = read_plan(path, tmp_path / "results", {"num_epochs": 2.0})
    assert not problems and [run.config.num_steps for run in runs] == [600, round(20_000 / 128)]


def test_flags_of_one_training_do_not_go_with_experiments(tmp_path):
    path = write(tmp_path, GOOD)
    for flag in ("time", "smoke_test"):
        done = run_quickly(MODULE, path, f"--{flag}", "--dry_run", *places(tmp_path))
        assert f"--{flag} does not go with experiments: leave it out" in error_of(done)


def test_tables_keep_their_columns():
    assert markdown([["a", "b"], ["x|y", "1"]]).splitlines()[2] == "| x\\|y | 1 |"


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
        load_extra("yaml")
