"""run_cifar_train.py as a process: training, restoring, stopping, and bad input."""

import csv
import json
import random
import re
import resource
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from images import picture
from processes import (
    assert_same_checkpoint,
    error_of,
    run,
    run_quickly,
    start_quickly,
    write_config,
)
from resnet.weights.checkpoint_format import read_checkpoint

SCRIPT = "run_cifar_train.py"


def places(tmp_path):
    return [f"--results={tmp_path}/results", f"--logs={tmp_path}/logs"]


def train(tmp_path, experiment, *arguments, how=run_quickly, **changes):
    config = write_config(tmp_path, **changes)
    return how(
        SCRIPT,
        f"--config={config}",
        "--dataset=synthetic",
        f"--id={experiment}",
        *places(tmp_path),
        *arguments,
    )


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """Folder of an experiment "one" of two steps, to be copied."""
    folder = tmp_path_factory.mktemp("two_steps")
    assert train(folder, "one", "--max_num_steps=2").returncode == 0
    return folder


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_results_and_logs_may_lie_in_one_folder(tmp_path):
    config = write_config(tmp_path)
    place = [f"--results={tmp_path}/runs", f"--logs={tmp_path}/runs", "--id=one"]
    run = [SCRIPT, f"--config={config}", "--dataset=synthetic", *place]
    assert run_quickly(*run, "--max_num_steps=1").returncode == 0
    done = run_quickly(SCRIPT, "--restore", *place, "--max_num_steps=2")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "runs/one").iterdir()}
    assert {"conf.json", "result.json", "cmd.txt", "train_ce.csv", "model.ckpt-2.index"} <= names


@pytest.mark.parametrize("mode", ["--dry_run --time", "--smoke_test"])
def test_a_trial_ends_when_it_is_asked_to_and_leaves_nothing(tmp_path, mode):
    trial = train(tmp_path, "a", *mode.split(), how=start_quickly, batch_size=50)
    for line in trial.stdout:
        if line.startswith(("memory:", "evaluat", "restored", "experiment a")):
            break
    trial.send_signal(signal.SIGINT)
    out, err = trial.communicate(timeout=60)
    assert trial.returncode == 130, err
    assert "a step," not in out and "passed" not in out and "which is saved" not in err
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.json"}


def test_a_run_and_what_it_leaves(tmp_path):
    done = train(tmp_path, "a", "--max_num_steps=6", "--validation", how=run, save_every=4)
    assert done.returncode == 0, done.stderr
    assert "test accuracy" not in done.stdout  # tuning does not see it
    assert "averages (decay 0.99) remember the start for some 500 steps, and this" in done.stdout
    float(done.stdout.splitlines()[-1].removeprefix("Final validation accuracy = "))
    results, logs = tmp_path / "results" / "a", tmp_path / "logs" / "a"
    assert sorted(path.name for path in results.iterdir()) == [
        "conf.json",
        "label_names.json",
        "mean_image.npy",
        "model.ckpt-4.data-00000-of-00001",
        "model.ckpt-4.index",
        "model.ckpt-6.data-00000-of-00001",
        "model.ckpt-6.index",
        "result.json",
    ]
    conf = json.loads((results / "conf.json").read_text())
    assert (conf["filters"], conf["run"]["validation"]) == ([4, 8], True)
    result = json.loads((results / "result.json").read_text())
    assert (result["step"], list(result["accuracy"])) == (6, ["validation"])
    assert result["training_seconds"] > 0 and result["peak_mb"] > 0
    for name, column in {
        "train_ce": "ce",
        "train_acc": "acc",
        "learn_rate": "lr",
        "step_seconds": "seconds",
        "peak_mb": "mb",
        "past_exact_range": "count",
        "updates_left_out": "count",
    }.items():
        table = rows(logs / f"{name}.csv")
        assert table[0] == ["step", "time", column]
        assert [row[0] for row in table[1:]] == list("123456")
    assert [row[0] for row in rows(logs / "valid_acc.csv")] == ["step", "6"]
    assert SCRIPT in (logs / "cmd.txt").read_text()
    assert "train_ce.csv,csv,train_ce" in (logs / "catalog").read_text()
    tags = set()
    for path in logs.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            tags |= {value.tag for value in event.summary.value}
    assert tags == {
        "train_ce",
        "train_acc",
        "learn_rate",
        "step_seconds",
        "peak_mb",
        "past_exact_range",
        "updates_left_out",
        "valid_acc",
        "eval_seconds",
    }


ALL_PARTS = {  # of a recipe
    "schedule": "one_cycle",
    "learning_rates": [0.1],
    "boundaries": [],
    "num_steps": 50,
    "warmup_steps": 10,
    "nesterov": True,
    "decay_all": True,
    "decoupled_weight_decay": True,
    "global_clipnorm": 2.0,
    "label_smoothing": 0.1,
    "ema_decay": 0.9,
    "flip": "alternating",
    "padding": "reflect",
    "cutout": 8,
    "mixup": 0.2,
    "cutmix": 1.0,
    "dropout": 0.2,
    "preprocessor": "cifar-standard",
}


@pytest.mark.parametrize(
    ("dtype", "changes", "fields"),
    [
        ("float32", [], ALL_PARTS),
        ("bfloat16", ["--memory_budget=1MB", "--check_gradients_every=3"], {"optimizer": "adamw"}),
    ],
)
def test_killed_and_restored_equals_uninterrupted_to_the_bit(tmp_path, dtype, changes, fields):
    """Also if what the restored run keeps in memory, and what it checks, is different."""
    steps, save_every = 40, 6
    arguments = [f"--max_num_steps={steps}", f"--dtype={dtype}"]
    assert train(tmp_path, "whole", *arguments, save_every=save_every, **fields).returncode == 0
    kill_at = random.randint(1, steps - 1)
    config = write_config(tmp_path, save_every=save_every, **fields)
    process = start_quickly(
        SCRIPT,
        f"--config={config}",
        "--dataset=synthetic",
        "--id=killed",
        *places(tmp_path),
        *arguments,
    )
    for line in process.stdout:
        if line.startswith(f"step {kill_at}:"):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    restored = run_quickly(
        SCRIPT, "--restore", "--id=killed", *places(tmp_path), f"--max_num_steps={steps}", *changes
    )
    assert restored.returncode == 0, restored.stderr
    ends = [tmp_path / "results" / e / f"model.ckpt-{steps}" for e in ("whole", "killed")]
    print(f"killed at step {kill_at}")
    assert_same_checkpoint(*ends)
    logged = [row[0] for row in rows(tmp_path / "logs" / "killed" / "train_ce.csv")[1:]]
    assert logged == [str(step) for step in range(1, steps + 1)]
    if changes:
        assert "1 of 2, 2 of 2 units" in restored.stdout
        _, *drift = rows(tmp_path / "logs" / "killed" / "gradient_angle.csv")
        assert drift and all(int(step) % 3 == 1 and float(value) == 0 for step, _, value in drift)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_names_the_command_to_continue(tmp_path, number):
    config = write_config(tmp_path, save_every=1000)
    process = start_quickly(
        SCRIPT, f"--config={config}", "--dataset=synthetic", "--id=s", *places(tmp_path)
    )
    for line in process.stdout:
        if line.startswith("step 3:"):
            process.send_signal(number)
            break
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in stderr and "error" not in stderr
    message = stderr[stderr.index("stopped at step") :]
    assert "which is saved. Continue with: " in message
    continued = message.partition("Continue with: ")[2].split()
    assert continued[1:4] == ["--restore", "--id", "s"]
    step = int(message.split()[3].rstrip(","))
    after = run_quickly(SCRIPT, *continued[1:], f"--max_num_steps={step + 2}")
    assert after.returncode == 0, after.stderr
    assert f"model.ckpt-{step}" in after.stdout


@pytest.mark.parametrize("num_pass", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_several_updates_a_call_and_recipes_of_flags_give_the_same_bits(tmp_path, num_pass):
    """Also where a call would go past a log row, a check of gradients or a checkpoint."""
    recipe = {"learning_rates": [0.1, 0.01], "boundaries": [5], "dropout": 0.1}
    cadence = ["--max_num_steps=17", "--log_every=6", "--check_gradients_every=8"]
    cadence.append(f"--num_pass={num_pass}")
    assert train(tmp_path, "one", *cadence, save_every=7, **recipe).returncode == 0
    flags = ["--steps_per_call=4", "--learning_rates=0.1,0.01", "--boundaries=5", "--save_every=7"]
    assert train(tmp_path, "many", *cadence, *flags, dropout=0.1).returncode == 0
    for step in (7, 14, 17):
        ends = [tmp_path / "results" / e / f"model.ckpt-{step}" for e in ("one", "many")]
        assert_same_checkpoint(*ends)
    for name in ("train_ce", "train_acc", "learn_rate", "gradient_angle"):
        one, many = (
            [row[::2] for row in rows(tmp_path / "logs" / e / f"{name}.csv")]
            for e in ("one", "many")
        )
        assert one == many
    rates = [row[::2] for row in rows(tmp_path / "logs" / "many" / "learn_rate.csv")[1:]]
    assert rates == [["6", "0.01"], ["12", "0.01"], ["17", "0.01"]]


def test_what_a_restored_run_changes_does_not_change_what_was_started(tmp_path, two_steps):
    shutil.copytree(two_steps, tmp_path, dirs_exist_ok=True)
    conf = tmp_path / "results" / "one" / "conf.json"
    started = json.loads(conf.read_text())
    restore = [SCRIPT, "--restore", "--id=one", *places(tmp_path)]
    longer = run_quickly(*restore, "--max_num_steps=4", "--save_every=3")
    assert longer.returncode == 0, longer.stderr
    latest = {"save_every": 3, "max_num_steps": 4}
    assert json.loads(conf.read_text()) == started | {"latest": latest}
    shorter = run_quickly(*restore, "--max_num_steps=3")
    assert "--max_num_steps is 3, but one has reached step 4" in error_of(shorter)
    assert json.loads(conf.read_text()) == started | {"latest": latest}
    few = run_quickly(*restore, "--eval_only", "--eval_images=7")
    assert "(of the first 7 images)" in few.stdout.splitlines()[-1], few.stderr
    # On more devices than its batch divides over, or has images: it trains nothing there.
    for evaluate in ([*restore, "--eval_only"], ["evaluate", "--id=one", *places(tmp_path)]):
        wide = run_quickly(*evaluate, "--eval_images=7", "--logical_cpus=16")
        assert wide.stdout.splitlines()[-1] == few.stdout.splitlines()[-1], wide.stderr


def test_a_restored_run_that_is_asked_for_more_than_it_has_says_so(tmp_path):
    changes = {"num_steps": 2, "learning_rates": [0.1], "boundaries": []}
    assert train(tmp_path, "one", **changes).returncode == 0
    restore = [SCRIPT, "--restore", "--id=one", *places(tmp_path)]
    done = run_quickly(*restore, "--max_num_steps=4")
    assert done.returncode == 0, done.stderr
    assert "--max_num_steps is 4, but one ends at step 2, its num_steps: for" in done.stdout
    assert "with --init_from one\n" in done.stdout
    # A run that has nothing to train is no part of the training.
    commands = (tmp_path / "logs/one/cmd.txt").read_text()
    done = run_quickly(*restore)
    said = "one has reached step 2, and ends at step 2: nothing is left to train; for more, start a"
    assert said in done.stdout, done.stderr
    assert (tmp_path / "logs/one/cmd.txt").read_text() == commands and commands.count("\n") == 1
    result = json.loads((tmp_path / "results/one/result.json").read_text())
    assert len(result["commands"]) == 1


def test_a_restored_run_with_nothing_left_says_so(tmp_path, two_steps):
    shutil.copytree(two_steps, tmp_path, dirs_exist_ok=True)
    restore = [SCRIPT, "--restore", "--id=one", *places(tmp_path)]
    assert "nothing is left" not in run_quickly(*restore, "--max_num_steps=3").stdout
    done = run_quickly(*restore)
    assert done.returncode == 0, done.stderr
    assert (
        "one has reached step 3, and ends at step 2 (a later run was given --max_num_steps 3): "
        "nothing is left to train; give a later --max_num_steps to go on"
    ) in done.stdout


def test_a_short_fine_tuning_says_so(tmp_path):
    line = [SCRIPT, "--dataset=synthetic", "--model=revnet-38", "--max_num_steps=1", "--id=one"]
    line += ["--init_from=pretrained:revnet-38:cifar-10", "--batch_size=2", "--eval_images=2"]
    done = run_quickly(*line, *places(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "notice: this training makes 1 update, which is little" in done.stdout


def test_a_run_that_names_no_model_takes_that_of_its_weights(tmp_path):
    start = [SCRIPT, "--dry_run", "--init_from=pretrained:resnet-32:cifar-10", *places(tmp_path)]
    assert "model resnet-32, as the weights are of" in run_quickly(*start).stdout
    done = run_quickly(*start, "--model=resnet-110")
    assert "model:             resnet-110, " in done.stdout and "as the weights" not in done.stdout
    # Of another family, the last bias alone fits: that is no start.
    flags = ["--model=revnet-38", "--dataset=synthetic", "--batch_size=2", "--max_num_steps=1"]
    other = run_quickly(SCRIPT, *start[2:], *flags, "--eval_images=2")
    assert "pretrained:resnet-32:cifar-10 has no kernel that fits revnet-38" in error_of(other)


def test_a_start_that_fails_leaves_no_folder(tmp_path):
    for name in "ab":
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(2):
            picture(i).save(tmp_path / "images" / name / f"{i}.png")
    own = ["--dataset=folder", f"--data_folder={tmp_path}/images", "--model=resnet-test"]
    foreign = ["--init_from=pretrained:revnet-38:cifar-10", "--max_num_steps=1", "--id=one"]
    for was_there in (False, True):
        if was_there:
            (tmp_path / "results/one").mkdir()
        done = run_quickly(SCRIPT, *own, *foreign, *places(tmp_path))
        assert "has no kernel that fits resnet-test" in error_of(done)
        assert (tmp_path / "results/one").exists() == was_there


def test_help_begins_with_what_is_essential():
    done = run_quickly(SCRIPT, "--help")
    assert done.returncode == 0
    _, _, essentials, *others = re.split(r"\n\n[A-Z][\w ]+:\n", done.stdout)
    for flag in ("--dataset", "--model", "--[no]restore", "--backprop", "--max_num_steps"):
        assert flag in essentials
    assert "--learning_rates" in "".join(others)


def test_help_names_no_flag_that_is_refused():
    said = run_quickly("experiments", "--help").stdout
    assert "skip_smoke_tests" in said and "dry_run" in said
    for name in ("id", "restore", "restore_step", "eval_only"):
        assert not re.search(rf"--(\[no\])?{name}\b", said), name
        done = run_quickly("experiments", "file.yaml", f"--{name}=1")
        assert f"--{name}" in error_of(done)


def test_a_smoke_test_names_no_file_that_is_gone(tmp_path):
    arguments = ["--model=resnet-test", "--dataset=synthetic", "--learning_rates=1e9"]
    done = run_quickly(SCRIPT, "--smoke_test", *arguments, "--boundaries=", *places(tmp_path))
    said = error_of(done)
    assert "that is not finite: " in said and "more is in" not in said, said


def test_dry_run_prints_the_plan_and_leaves_nothing(tmp_path):
    done = run_quickly(
        SCRIPT, "--dry_run", "--model=revnet-110", "--dataset=cifar-100", *places(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    for part in (
        "1,740,804",
        "MB an image",
        "wait for the backward pass",
        "80,000 of 100 images",
        "cifar-100, 100 classes",
    ):
        assert part in done.stdout, done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_a_training_would_meet(tmp_path):
    arguments = ["--dry_run", f"--data_folder={tmp_path}", "--dataset=cifar-10", *places(tmp_path)]
    done = run_quickly(SCRIPT, *arguments, "--model=resnet-test")
    assert done.returncode == 0, done.stderr
    assert f"notice: cifar-10 is not in '{tmp_path}': run ./setup.sh" in done.stdout
    done = run_quickly(SCRIPT, *arguments, "--model=resnet-164", "--batch_size=1000000")
    assert "training needs about " in error_of(done) and "activation memory:" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=resnet-test"], "a fused update does not go with backprop 'stored'"),
        (["--model=revnet-test", "--global_clipnorm=1"], "does not go with clipping by the norm"),
    ],
)
def test_a_dry_run_refuses_what_a_training_would(tmp_path, arguments, message):
    line = [SCRIPT, "--dataset=synthetic", "--fused_update", "--dry_run", *places(tmp_path)]
    assert message in error_of(run_quickly(*line, *arguments))


def test_a_change_that_is_refused_is_not_noted(tmp_path):
    config = write_config(tmp_path, global_clipnorm=1)
    start = [f"--config={config}", "--dataset=synthetic", "--max_num_steps=1", "--id=a"]
    done = run_quickly(SCRIPT, *start, *places(tmp_path))
    assert done.returncode == 0, done.stderr
    path = tmp_path / "results/a/conf.json"
    before = path.read_text()
    again = ["--restore", "--id=a", "--fused_update", "--max_num_steps=2", *places(tmp_path)]
    assert "does not go with clipping" in error_of(run_quickly(SCRIPT, *again))
    assert path.read_text() == before


def test_a_runs_time_is_known_before_it_starts(tmp_path):
    arguments = ["--model=resnet-test", "--recipe=fast", "--batch_size=20", "--dataset=synthetic"]
    done = run_quickly(SCRIPT, "--dry_run", "--time", *arguments, *places(tmp_path))
    assert done.returncode == 0, done.stderr
    *_, steps, _, _, _, _, _, timed = done.stdout.splitlines()  # data, places, memory between
    assert "14,000 of 20 images; learning rate one_cycle with a peak of 0.01, upwards" in steps
    found = re.fullmatch(
        r"time: +([\d.]+) s a step, (\d+) images/s, the median of 10 steps; (\d+):(\d+):(\d+) for "
        r"14,000 steps, evaluations apart",
        timed,
    )
    seconds, speed, *whole = map(float, found.groups())
    assert seconds * speed == pytest.approx(20, rel=0.05)
    assert np.dot(whole, [3600, 60, 1]) == pytest.approx(14_000 * seconds, rel=0.05)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("more", "steps"), [([], (2_000, 312)), (["--validation"], (1_800, 281))])
def test_epochs_are_made_steps(tmp_path, more, steps):
    config = write_config(tmp_path, num_steps=7, warmup_steps=3)
    arguments = ["--schedule=cosine", "--batch_size=16", "--num_epochs=3.2", "--warmup_epochs=0.5"]
    places_and_data = [*places(tmp_path), "--dataset=synthetic", f"--config={config}"]
    stop = "--max_num_steps=1"
    done = run_quickly(SCRIPT, *arguments, *places_and_data, *more, stop, "--id=a")
    assert done.returncode == 0, done.stderr
    conf = json.loads((tmp_path / "results/a/conf.json").read_text())
    assert (conf["num_steps"], conf["warmup_steps"]) == steps  # 10,000 images, or 9,000
    assert (conf["num_epochs"], conf["warmup_epochs"]) == (0, 0)
    # The same epochs again are the same experiment.
    restore = ["--restore", "--id=a", *places(tmp_path), "--max_num_steps=2"]
    done = run_quickly(SCRIPT, *restore, "--num_epochs=3.2", "--warmup_epochs=0.5")
    assert done.returncode == 0, done.stderr
    said = error_of(run_quickly(SCRIPT, *restore, "--num_epochs=4"))
    assert f"--num_epochs is 4, which is {round(steps[0] / 3.2 * 4)} steps, but a was" in said
    assert f"started with num_steps {steps[0]}" in said


def test_a_flag_counts_before_the_file_in_any_form(tmp_path):
    config = write_config(tmp_path, schedule="cosine", warmup_epochs=0.5, learning_rates=[0.1])
    config_flags = [f"--config={config}", "--dataset=synthetic", "--dry_run", "--boundaries="]
    done = run_quickly(SCRIPT, *config_flags, "--warmup_steps=0", *places(tmp_path))
    assert done.returncode == 0, done.stderr


def test_what_holds_anyway_may_stand_in_a_config(tmp_path):
    """There is no --deterministic here: images are always those of (seed, step)."""
    done = train(tmp_path, "one", "--dry_run", run={"deterministic": True})
    assert done.returncode == 0, done.stderr


BAD_FLAGS = {
    "--model=revnet-39": "unknown model 'revnet-39': did you mean 'revnet-38'?",
    "--model=resnet-20": "unknown model 'resnet-20': did you mean 'resnet20-v1'?",
    "--dataset=mnist": "--dataset is 'mnist', but must be one of cifar-10, cifar-100, folder, ",
    "--dtype=float16": "--dtype is 'float16', but must be one of float32, bfloat16",
    "--backprop=magic": "--backprop is 'magic', but must be one of reversible, stored, checkpoint",
    "--batch_size=0": "--batch_size is 0, but must be an integer in [1, 2^20)",
    "--learning_rates=0.1,x": "--learning_rates is '0.1,x', but must be a list of numbers",
    "--learning_rates=0.1,0.01": "boundaries is (40000, 60000), but must be a rising list of 1",
    "--lerning_rates=1": "unknown flag 'lerning_rates': did you mean 'learning_rates'? See --help",
    "--no-restore": "unknown flag 'no-restore': did you mean 'norestore'? See --help",
    "--qqqq": "unknown flag 'qqqq': there is none near to it. See --help",
    "--norestore=3": "--norestore=3 does not take an argument. See --help",
    "--restore=x": "--restore is 'x', but must be true or false",
    "--num_gpu=7": "--num_gpu is 7, but TensorFlow sees 0",
    "--config=nowhere.json": "config file 'nowhere.json' does not exist",
    "--restore": "--restore needs --id",
    "--time": "--time times what --dry_run tells of",
    "--num_steps=100": "boundaries is (40000, 60000), but must be below num_steps, 100",
    "--num_epochs=1": "boundaries is (40000, 60000), but must be below num_steps, 100",
    "--num_steps=9 --num_epochs=2": "num_epochs is 2.0 and num_steps is 9: leave one of them out",
    "--recipe=fast --num_epochs=1 --warmup_epochs=2": "warmup_steps is 156, but must be at most",
    "--recipe=quick": "--recipe is 'quick', but must be one of paper, fast, long",
    "--best": "--best says what --eval_only evaluates",
    "--eval_only": "--eval_only needs --restore and --id",
    "--restore --id=x --smoke_test": "--smoke_test tries new experiments",
    "--init_from=gone": "init_from is 'gone', but there is no checkpoint in",
    "--id=a/b": "must be a plain name without slashes",
    "--model=resnet-50": "resnet-50 takes 224x224 images",
    "--model=resnet-32 --backprop=reversible": "needs a RevNet, and resnet-32 is a ResNet",
    "--memory_budget=2XB": "'2XB' is not a size: give a number with a unit, such as 800MB",
    "--memory_budget=1MB --backprop=stored": 'a memory budget needs backprop "reversible"',
    "--check_gradients_every=2 --backprop=stored": "with which nothing drifts",
    "--model=resnet-32 --exact": "exact mode needs a RevNet",
    "--restore --id=gone": "no experiment 'gone'",
    "--dataset=cifar-10 --data_folder=nowhere": "run ./setup.sh --datasets cifar-10",
    "something": "unexpected argument 'something'",
}


@pytest.mark.parametrize("arguments", BAD_FLAGS)
def test_bad_flags_end_in_one_clear_line(tmp_path, arguments):
    done = run_quickly(SCRIPT, "--dataset=synthetic", *places(tmp_path), *arguments.split())
    assert BAD_FLAGS[arguments] in error_of(done)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON: line 1, column 2"),
        ("[1]", "must hold a JSON object"),
        ('{"nmae": "revnet-38"}', "unknown config field 'nmae': did you mean 'name'?"),
        (
            '{"dtype": "bfloat16"}',
            "'dtype': it is of a run, not of a config: leave it out, and",
        ),
        ('{"image_size": 224}', "synthetic has 32x32 ones: leave image_size out of the config"),
        ('{"batch_size": "ten"}', "batch_size is 'ten', but must be an integer"),
        ('{"units": [1, 2]}', "filters is (32, 64, 112), but must be as long as units (2)"),
        ('{"filters": [33, 64, 112]}', "must be even: a RevNet splits channels in halves"),
        ('{"boundaries": [5]}', "boundaries is (5,), but must be a rising list of 2 steps"),
        ('{"filters": [32, 64, 48]}', "filters is (32, 64, 48), but must be rising"),
        ('{"strides": [1, 3, 2]}', "strides is (1, 3, 2), but must be divisors"),
        ('{"name": "revnet-110"}', "--model is revnet-38, but"),
        ('{"run": {"dtyp": "float32"}}', "unknown run option dtyp"),
        ('{"run": {"jit": "maybe"}}', "run option jit is 'maybe', but must be one of auto"),
    ],
)
def test_bad_config_files_end_in_one_clear_line(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_text(content)
    done = run_quickly(
        SCRIPT, "--model=revnet-38", f"--config={path}", "--dataset=synthetic", *places(tmp_path)
    )
    assert message in error_of(done)


def test_classes_that_are_not_the_data_sets_are_said(tmp_path):
    config = write_config(tmp_path, {"name": "revnet-38"}, num_classes=3)
    done = run_quickly(SCRIPT, f"--config={config}", "--dataset=synthetic", "--dry_run")
    assert f"10 classes, as synthetic has: num_classes of {config} is not taken" in done.stdout
    assert "464,890" in done.stdout, done.stderr


def test_neither_a_recipe_nor_a_file_is_ignored(tmp_path):
    """A conf.json has every field, and each would hold before the recipe's."""
    for content, both in (({"weight_decay": 0.1}, "weight_decay"), ({"recipe": "long"}, "recipe")):
        config = write_config(tmp_path, {"name": "revnet-38"}, **content)
        done = run_quickly(SCRIPT, "--recipe=fast", f"--config={config}", *places(tmp_path))
        assert f"--recipe is fast, but {config} has {both}: leave one of" in error_of(done)
    config = write_config(tmp_path, {"name": "revnet-38"}, units=[1, 1, 1], recipe="fast")
    done = run_quickly(SCRIPT, f"--config={config}", "--dry_run", "--num_steps=5000")
    assert "5,000 of 128 images; learning rate one_cycle" in done.stdout, done.stderr


def test_a_network_that_makes_no_sense_is_refused_before_data_is_read(tmp_path):
    nowhere = f"--data_folder={tmp_path}/nowhere"
    arguments = ["--model=resnet-32", "--dataset=cifar-10", nowhere, *places(tmp_path)]
    assert "exact mode needs a RevNet" in error_of(run_quickly(SCRIPT, "--exact", *arguments))
    assert "cifar-10 is not in" in error_of(run_quickly(SCRIPT, *arguments))


def test_numbers_that_are_not_finite_stop_a_run_before_they_are_saved(tmp_path):
    # Step 5 makes weights huge; step 6 would make no numbers of them.
    done = train(
        tmp_path,
        "nan",
        "--max_num_steps=30",
        learning_rates=[0.1, 1e30],
        boundaries=[4],
        save_every=1,
    )
    assert "is not finite at step 6; the last checkpoint is step 5; the first" in error_of(done)
    assert "Lower learning_rates" in done.stderr
    results = tmp_path / "results" / "nan"
    found = json.loads((results / "diagnosis.json").read_text())
    assert found["step"] == 6 and found["first_gradient"].startswith("Model/")
    saved = sorted(results.glob("*.index"))
    assert len(saved) == 5
    for path in saved:
        tensors = read_checkpoint(str(path).removesuffix(".index"))
        assert all(np.isfinite(value).all() for value in tensors.values())


def test_a_full_disk_keeps_what_was_saved(tmp_path, two_steps):
    shutil.copytree(two_steps, tmp_path, dirs_exist_ok=True)
    before = read_checkpoint(tmp_path / "results" / "one" / "model.ckpt-2")

    def limit():
        # A file can grow to 10,000 bytes: enough for logs, too little for a checkpoint.
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = run(
        SCRIPT,
        "--restore",
        "--id=one",
        "--max_num_steps=4",
        *places(tmp_path),
        preexec_fn=limit,
    )
    assert "cannot write" in error_of(done)
    names = {path.name for path in (tmp_path / "results" / "one").iterdir()}
    assert not [name for name in names if "part" in name or "ckpt-4" in name]
    after = read_checkpoint(tmp_path / "results" / "one" / "model.ckpt-2")
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_evaluation_of_what_is_trained_and_the_best_of_it(tmp_path):
    trained = train(tmp_path, "b", "--max_num_steps=4", "--keep_best", evaluate_every=2)
    assert trained.returncode == 0, trained.stderr
    results = tmp_path / "results" / "b"
    logged = [(int(row[0]), float(row[2])) for row in rows(tmp_path / "logs/b/valid_acc.csv")[1:]]
    step, accuracy = max(logged, key=lambda pair: pair[1])  # the first of equals
    names = {path.name for path in (results / "best").iterdir()}
    wanted = {f"model.ckpt-{step}.index", f"model.ckpt-{step}.data-00000-of-00001"}
    assert names == wanted | {"result.json"}

    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    restore = ["--restore", "--id=b", "--eval_only", *places(tmp_path)]
    evaluated = run_quickly(SCRIPT, *restore)
    assert evaluated.stdout.splitlines()[-1] == trained.stdout.splitlines()[-1]
    best = run_quickly(SCRIPT, *restore, "--best")
    assert best.stdout.splitlines()[-1] == f"Final test accuracy = {accuracy:.3f}"
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before
    # A smoke test leaves nothing, on two replicas of two passes and from other weights, too.
    arguments = ["--smoke_test", "--init_from=b/best", "--num_pass=2", "--logical_cpus=2"]
    tried = train(tmp_path, "c", *arguments, batch_size=8)
    assert f"best/model.ckpt-{step}" in tried.stdout, tried.stderr
    assert tried.stdout.splitlines()[-1] == "smoke test passed: revnet-38"
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before.keys()

    for path in results.glob("*.index"):
        path.unlink()
    assert "no checkpoint in" in error_of(run_quickly(SCRIPT, *restore))


def test_damaged_and_foreign_checkpoints(tmp_path, two_steps):
    shutil.copytree(two_steps, tmp_path, dirs_exist_ok=True)
    results = tmp_path / "results" / "one"
    restore = [SCRIPT, "--restore", "--id=one", *places(tmp_path), "--max_num_steps=3"]

    conf = json.loads((results / "conf.json").read_text())
    (results / "conf.json").write_text(json.dumps(conf | {"filters": [4, 16]}))
    assert "is not one of revnet-38" in error_of(run_quickly(*restore))

    (results / "conf.json").write_text(json.dumps(conf))
    index = results / "model.ckpt-2.index"
    content = index.read_bytes()
    index.write_bytes(content[:100])
    damaged = error_of(run_quickly(*restore))
    assert "cannot be read" in damaged and damaged.endswith("no earlier one to go on from")

    assert "are of steps 2: give one" in error_of(run_quickly(*restore, "--restore_step=1"))
    index.write_bytes(content)
    for step in (3, 4):
        for path in results.glob("model.ckpt-2.*"):
            shutil.copy(path, results / path.name.replace("-2", f"-{step}"))
    done = run_quickly(*restore, "--restore_step=2")
    assert "later checkpoints are in" in done.stdout and done.returncode == 0, done.stderr
    # Two checkpoints, and the record of an end that is to come again.
    assert len(list((results / "set_aside-1").iterdir())) == 4 + 1
    assert (results / "set_aside-1/result.json").exists() and (results / "result.json").exists()

    (results / "conf.json").write_text("{")
    assert "is not valid JSON" in error_of(run_quickly(*restore))


def test_an_experiment_is_never_overwritten_or_changed_by_flags(tmp_path, two_steps):
    shutil.copytree(two_steps, tmp_path, dirs_exist_ok=True)
    assert "exists in" in error_of(train(tmp_path, "one", "--max_num_steps=1"))
    changed = run_quickly(SCRIPT, "--restore", "--id=one", "--batch_size=20", *places(tmp_path))
    assert "--batch_size is 20, but one was started with 10" in error_of(changed)
    other = run_quickly(SCRIPT, "--restore", "--id=one", "--model=resnet-32", *places(tmp_path))
    assert "--model is resnet-32, but one trains revnet-38: leave it out" in error_of(other)
