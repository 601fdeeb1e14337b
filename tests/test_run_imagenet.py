"""run_imagenet_train.py and run_imagenet_eval.py as processes, on trees of small images."""

import csv
import json
import shutil
import signal

import pytest

from images import SYNSETS, TINY, build, encoded, make_shards
from processes import (
    assert_same_checkpoint,
    error_of,
    host_environment,
    run,
    run_quickly,
    start_quickly,
    write_config,
)

TRAIN, EVAL = "run_imagenet_train.py", "run_imagenet_eval.py"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("tree"))


def places(tmp_path, shards):
    return [f"--results={tmp_path}/results", f"--logs={tmp_path}/logs", f"--data_dir={shards}"]


def train_arguments(tmp_path, shards, experiment, *arguments, **changes):
    config = write_config(tmp_path, TINY, **changes)
    return [f"--config={config}", f"--id={experiment}", *places(tmp_path, shards), *arguments]


def train(tmp_path, shards, experiment, *arguments, **changes):
    return run_quickly(TRAIN, *train_arguments(tmp_path, shards, experiment, *arguments, **changes))


def evaluate(tmp_path, shards, experiment, *arguments):
    return run_quickly(EVAL, f"--id={experiment}", *places(tmp_path, shards), *arguments)


def column(path):
    """[(step, value)] of a CSV log."""
    with open(path, newline="") as file:
        return [(int(row["step"]), float(list(row.values())[2])) for row in csv.DictReader(file)]


def test_train_restore_and_evaluate(tmp_path, shards):
    steps = ["--deterministic", "--num_pass=2"]
    whole = train(tmp_path, shards, "whole", *steps, "--max_num_steps=5")
    assert whole.returncode == 0, whole.stderr
    assert "no GPU is visible or asked for: training on the CPU" in whole.stdout
    folder = tmp_path / "results" / "whole"
    saved = sorted(path.name for path in folder.glob("*.index"))
    assert saved == [f"model.ckpt-{step}.index" for step in (2, 4, 5)]  # all are kept

    # In the middle of the second epoch; the model and the rest come from conf.json.
    assert train(tmp_path, shards, "half", *steps, "--max_num_steps=3").returncode == 0
    again = ["--restore", "--id=half", *places(tmp_path, shards), "--max_num_steps=5"]
    restored = run_quickly(TRAIN, *again, "--keep_checkpoints=1")
    assert restored.returncode == 0, restored.stderr
    assert "model.ckpt-3" in restored.stdout and "units 1-2-1-1" in restored.stdout
    half = tmp_path / "results" / "half"
    assert_same_checkpoint(folder / "model.ckpt-5", half / "model.ckpt-5")
    assert [path.name for path in half.glob("*.index")] == ["model.ckpt-5.index"]
    assert "--model is resnet-50, but half trains revnet-56" in error_of(
        run_quickly(TRAIN, *again, "--model=resnet-50")
    )

    one = evaluate(tmp_path, shards, "whole")
    assert one.returncode == 0, one.stderr
    train_line, validation_line = one.stdout.splitlines()[-2:]
    assert train_line.startswith("step 5: train, 20 images: top-1 accuracy ")
    assert validation_line.startswith("step 5: validation, 8 images: top-1 accuracy ")
    # Four classes: the five best guesses hold every label.
    assert "top-5 accuracy 100.000 (error 0.000)" in validation_line
    two = evaluate(tmp_path, shards, "whole", "--logical_cpus=2", "--ckpt_num=4")
    assert two.returncode == 0, two.stderr
    logs = tmp_path / "logs" / "whole"
    for name in ("valid_acc", "valid_top5", "eval_train_acc", "eval_train_top5"):
        assert [step for step, _ in column(logs / f"{name}.csv")] == [5, 4]
        assert f"{name}.csv,csv,{name}" in (logs / "catalog").read_text()
    assert column(logs / "train_ce.csv")[-1][0] == 5

    assert "it has steps 2, 4, 5" in error_of(evaluate(tmp_path, shards, "whole", "--ckpt_num=3"))
    # Another model's checkpoint: one of another width.
    conf = json.loads((folder / "conf.json").read_text())
    (folder / "conf.json").write_text(json.dumps(conf | {"filters": [8, 8, 8, 8]}))
    assert "is not one of revnet-56" in error_of(evaluate(tmp_path, shards, "whole"))
    shutil.rmtree(folder)
    folder.mkdir()
    assert "no experiment 'whole'" in error_of(evaluate(tmp_path, shards, "whole"))


def test_follow_evaluates_every_checkpoint_of_a_running_training(tmp_path, shards):
    training = start_quickly(TRAIN, *train_arguments(tmp_path, shards, "run", "--max_num_steps=9"))
    for line in training.stdout:
        if line.startswith("step 1:"):
            break
    followed = evaluate(tmp_path, shards, "run", "--follow")
    _, stderr = training.communicate(timeout=60)
    assert training.returncode == 0, stderr
    assert followed.returncode == 0, followed.stderr
    steps = [2, 4, 6, 8, 9]
    assert [step for step, _ in column(tmp_path / "logs/run/valid_acc.csv")] == steps
    # Again: all is done, and nothing is evaluated twice.
    again = evaluate(tmp_path, shards, "run", "--follow")
    assert again.returncode == 0, again.stderr
    assert "validation" not in again.stdout
    commands = (tmp_path / "logs/run/cmd.txt").read_text()
    assert len(commands.splitlines()) == 1 and EVAL not in commands  # the training's own
    # A look at a few images does not count as an evaluation of all.
    (tmp_path / "logs/run/valid_images.csv").write_text(
        "step,time,count\n4,2026-01-01T00:00:00,3\n"
    )
    again = evaluate(tmp_path, shards, "run", "--follow")
    assert again.stdout.count("validation, 8 images") == 1 and "step 4: validation" in again.stdout
    # Behind an earlier step, training goes on anew, and is evaluated anew.
    restore = ["--restore", "--id=run", "--restore_step=6", *places(tmp_path, shards)]
    assert run_quickly(TRAIN, *restore, "--max_num_steps=8").returncode == 0
    assert {step for step, _ in column(tmp_path / "logs/run/valid_acc.csv")} == {2, 4, 6}


def test_an_experiment_without_checkpoints(tmp_path, shards):
    assert train(tmp_path, shards, "bare", "--max_num_steps=1").returncode == 0
    for path in (tmp_path / "results" / "bare").glob("model.ckpt*"):
        path.unlink()
    assert "it has none yet. Train first, or wait" in error_of(evaluate(tmp_path, shards, "bare"))


BAD_TRAINING = {
    "--num_gpu=3": "--num_gpu is 3, but TensorFlow sees 0",
    "--logical_cpus=3": "batch_size is 8, which does not divide over 3 replicas: give one that",
    "--logical_cpus=2 --num_pass=3": "does not divide over 2 replicas times 3 passes",
    "--model=revnet-38": "--model is revnet-38, but",
    "--data_dir=nowhere": "no train shards",
    "--restore --id=gone": "no experiment 'gone'",
    "--keep_best": "keep_best",
    "--evaluate_every=2": "evaluate_every",
}


@pytest.mark.parametrize("arguments", BAD_TRAINING)
def test_bad_training_flags_end_in_one_clear_line(tmp_path, shards, arguments):
    flags = train_arguments(tmp_path, shards, "bad", *arguments.split())
    done = run_quickly(TRAIN, *flags)
    assert BAD_TRAINING[arguments] in error_of(done)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "option", [{"validation": True}, {"keep_best": True}, {"eval_images": 5}, {"strict": True}]
)
def test_run_options_of_a_config_that_this_script_has_not_are_refused(tmp_path, shards, option):
    (name,) = option
    flags = train_arguments(tmp_path, shards, "bad", "--dry_run", run=option)
    said = error_of(run_quickly(TRAIN, *flags))
    assert f"run option {name} is {option[name]}, but" in said
    assert "has no such option: leave it out" in said


def test_a_cifar_model_is_refused(tmp_path, shards):
    done = run_quickly(TRAIN, "--model=revnet-38", *places(tmp_path, shards))
    assert "takes 32x32 images prepared by 'cifar', but this trains with" in error_of(done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "--id is needed"),
        ("--id=x --follow --ckpt_num=3", "--follow and --ckpt_num 3 exclude each other"),
        ("--id=x", "no experiment 'x'"),
    ],
)
def test_bad_evaluation_flags(tmp_path, arguments, message):
    done = run_quickly(EVAL, *arguments.split(), f"--results={tmp_path}")
    assert message in error_of(done)


@pytest.mark.slow
def test_real_images_at_full_size(tmp_path, shared):
    """ImageNet's own images: build, train revnet-56 at 224x224 on 2 replicas, evaluate."""
    from PIL import Image

    sources = sorted((shared / "data" / "imagenet-sample").glob("*.JPEG"))
    for i, source in enumerate(sources):
        synset = source.name.partition("_")[0]
        for split in ("train", "val"):
            (tmp_path / split / synset).mkdir(parents=True)
            content = source.read_bytes()
            if split == "train" and i == 1:
                content = encoded(Image.open(source).convert("CMYK"))
            if split == "train" and i == 2:
                content = encoded(Image.open(source), "PNG")
            if split == "train" and i == 3:
                content = content[: len(content) // 2]
            (tmp_path / split / synset / source.name).write_bytes(content)
    shards = tmp_path / "shards"
    done = build(shards, f"--raw_dir={tmp_path}", "--train_shards=4", "--validation_shards=2")
    assert done.returncode == 0, done.stderr
    num_images = len(sources)
    assert f"{num_images - 1} images of {num_images} classes in 4 shards; 1 unrea" in done.stdout
    arguments = ["--model=revnet-56", "--logical_cpus=2", "--batch_size=4", "--max_num_steps=3"]
    trained = run(TRAIN, "--id=real", *arguments, *places(tmp_path, shards))
    assert trained.returncode == 0, trained.stderr
    evaluated = evaluate(tmp_path, shards, "real")
    assert evaluated.returncode == 0, evaluated.stderr
    assert f"step 3: validation, {num_images} images: top-1 accuracy" in evaluated.stdout


# ------------------------------------------------------------------- several hosts


def start_host(index, ports, *arguments):
    return start_quickly(TRAIN, *arguments, environment=host_environment(index, ports))


def read_to(process, start):
    for line in process.stdout:
        if line.startswith(start):
            return
    raise AssertionError(process.stderr.read())


def test_a_lost_host_ends_the_others_and_all_continue(tmp_path, shards, free_ports):
    arguments = train_arguments(tmp_path, shards, "hosts")
    hosts = [start_host(i, free_ports, *arguments, "--max_num_steps=100000") for i in (0, 1)]
    read_to(hosts[0], "step 5:")
    hosts[1].send_signal(signal.SIGKILL)
    _, stderr = hosts[0].communicate(timeout=60)
    hosts[1].communicate()
    assert hosts[0].returncode == 1
    assert "Traceback" not in stderr
    assert "error: another host was lost" in stderr
    message = stderr[stderr.index("error: another host was lost") :]
    assert "--restore --id hosts" in message
    saved = int(message.partition("the last checkpoint is step ")[2].split(".")[0])
    assert saved >= 4

    again = ["--restore", "--id=hosts", *places(tmp_path, shards), f"--max_num_steps={saved + 3}"]
    hosts = [start_host(i, free_ports, *again) for i in (0, 1)]
    outputs = [host.communicate(timeout=120) for host in hosts]
    for host, (stdout, stderr) in zip(hosts, outputs, strict=True):
        assert host.returncode == 0, stderr
        assert f"model.ckpt-{saved}" in stdout
    steps = [step for step, _ in column(tmp_path / "logs/hosts/train_ce.csv")]
    assert steps == list(range(1, saved + 4))


@pytest.mark.parametrize("differs", ["config", "options", "data"])
def test_hosts_that_do_not_fit_together_say_so(tmp_path, shards, free_ports, differs):
    hosts = []
    for i in (0, 1):
        folder = tmp_path / str(i)
        folder.mkdir()
        arguments = train_arguments(
            folder, shards, "h", momentum=0.9 - i / 10 if differs == "config" else 0.9
        )
        steps = 2 + i if differs == "options" else 2
        data = ["--data_dir=nowhere"] if differs == "data" and i else []
        hosts.append(start_host(i, free_ports, *arguments, f"--max_num_steps={steps}", *data))
    errors = [host.communicate(timeout=120)[1] for host in hosts]
    assert all(host.returncode == 1 for host in hosts)
    if differs == "data":
        assert "error: another host was lost" in errors[0]
        assert "See what that host said, then start all of them again" in errors[0]
        assert "no train shards" in errors[1]
    else:
        message = f"the hosts differ in {differs} (they are at steps 0, 0)"
        assert any(message in error for error in errors)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "describes no cluster"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "'task' is missing"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "its task, worker 1, is not in its cluster",
        ),
        ('{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "tasks of type 'ps'"),
    ],
)
def test_bad_clusters(monkeypatch, text, message):
    from resnet.errors import UsageError
    from resnet.training.placement import find_hosts

    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match=message):
        find_hosts()


def test_epochs_are_those_of_the_shards(tmp_path, shards):
    arguments = ["--dry_run", "--schedule=cosine", "--num_epochs=1.2", "--warmup_epochs=0.4"]
    done = train(tmp_path, shards, "a", *arguments)
    assert "3 of 8 images" in done.stdout and "upwards in the first 1 step" in done.stdout


def test_the_number_of_classes_is_that_of_the_shards(tmp_path, shards):
    config = {name: value for name, value in TINY.items() if name != "num_classes"}
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(config))
    arguments = [f"--config={path}", *places(tmp_path, shards), "--max_num_steps=1"]
    done = run_quickly(TRAIN, *arguments, "--id=a")
    assert done.returncode == 0, done.stderr
    conf = json.loads((tmp_path / "results/a/conf.json").read_text())
    assert conf["num_classes"] == len(SYNSETS)
    kept = json.loads((tmp_path / "results/a/label_names.json").read_text())
    assert kept["label_names"] == list(SYNSETS)
    path.write_text(json.dumps(config | {"num_classes": 6}))
    done = run_quickly(TRAIN, *arguments, "--dry_run")
    assert "imagenet, 6 classes" in done.stdout
