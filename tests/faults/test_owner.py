"""A run has one owner: what two processes at once may do to an experiment."""

import errno
import json
import os
import platform
import signal
import subprocess
import sys
import time
import types

import pytest

from processes import (
    REPOSITORY,
    assert_same_checkpoint,
    error_of,
    run_quickly,
    start,
    start_quickly,
    write_config,
)
from resnet import ownership
from resnet.errors import UsageError, UserError
from resnet.files import make_folder
from resnet.ownership import InUseError, is_owned, owned
from resnet.training import evaluator
from resnet.training.evaluator import Evaluator
from resnet.training.experiment import new_folders, require_plain

TRAIN = "run_cifar_train.py"
HOLDS = """\
import sys, time
sys.path.insert(0, sys.argv[1])
from resnet.errors import UsageError
from resnet.ownership import owned
with owned(sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that owns tmp_path / "it"."""
    line = [sys.executable, "-c", HOLDS, str(REPOSITORY), str(tmp_path / "it")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_of_the_first(tmp_path, holder):
    assert is_owned(tmp_path / "it") and not is_owned(tmp_path / "other")
    message = rf"it is in use by process {holder.pid} on {platform.node()} since 20\d\d-"
    with pytest.raises(InUseError, match=message), owned(tmp_path / "it"):
        pass


def test_a_link_to_a_folder_is_that_folder(tmp_path, monkeypatch):
    (tmp_path / "it/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "it")
    with owned(tmp_path / "it"), pytest.raises(InUseError), owned(tmp_path / "link"):
        pass
    monkeypatch.chdir(tmp_path / "it/inner")
    with owned(".."):
        assert is_owned(tmp_path / "it")


def test_what_a_dead_process_has_left_holds_nobody_up(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert json.loads((tmp_path / ".locks" / "it").read_text())["pid"] == holder.pid
    assert not is_owned(tmp_path / "it")
    with owned(tmp_path / "it"):
        assert json.loads((tmp_path / ".locks" / "it").read_text())["pid"] == os.getpid()
    assert not (tmp_path / ".locks" / "it").exists()


def test_a_damaged_lock_counts_as_long_as_it_is_held(tmp_path, holder):
    (tmp_path / ".locks" / "it").write_bytes(b"\xff{")
    with pytest.raises(ValueError, match="in use by another process"), owned(tmp_path / "it"):
        pass


def test_a_lock_that_its_holder_takes_away_meanwhile_is_none(tmp_path, monkeypatch):
    """Another holder ends between the opening of its file and the lock: the file is another."""
    import fcntl

    taken, flock = [], fcntl.flock

    def late(file, how):
        if not taken:
            taken.append((tmp_path / ".locks" / "it").unlink())
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with owned(tmp_path / "it"):
        assert taken and (tmp_path / ".locks" / "it").exists()


def test_the_folder_of_a_lock_goes_with_another_lock_meanwhile(tmp_path, monkeypatch):
    errors = [FileExistsError(errno.EEXIST, "File exists"), FileNotFoundError()]

    def racing(path):
        if errors:
            raise errors.pop()
        make_folder(path)

    monkeypatch.setattr(ownership, "make_folder", racing)
    with owned(tmp_path / "it"):
        assert not errors and (tmp_path / ".locks" / "it").exists()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    message = r"cannot write .*link/\.locks/it: File exists"
    with pytest.raises(UserError, match=message), owned(tmp_path / "link" / "it"):
        pass


@pytest.fixture
def places(tmp_path):
    return [f"--results={tmp_path}/results", f"--logs={tmp_path}/logs"]


def test_two_starts_and_two_restores_of_one_id(tmp_path, places):
    config = write_config(tmp_path, save_every=2)
    line = [TRAIN, "--dataset=synthetic", f"--config={config}", *places, "--id=one"]
    both = [start_quickly(*line, "--max_num_steps=6") for _ in range(2)]
    ended = [subprocess.CompletedProcess([], p.wait(), *p.communicate()) for p in both]
    won, lost = sorted(ended, key=lambda done: done.returncode)
    assert won.returncode == 0, won.stderr
    assert "is in use by process" in (error := error_of(lost)) or "exists in" in error
    rows = (tmp_path / "logs/one/train_ce.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == list("123456")
    alone = run_quickly(*line[:-1], "--id=alone", "--max_num_steps=6")
    assert alone.returncode == 0, alone.stderr
    assert_same_checkpoint(*(tmp_path / f"results/{n}/model.ckpt-6" for n in ("one", "alone")))

    restore = [TRAIN, *places, "--restore", "--id=one", "--max_num_steps=4000"]
    first = start(*restore)
    while not is_owned(tmp_path / "results/one"):
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    done = run_quickly(*restore)
    assert f"results/one is in use by process {first.pid} on" in error_of(done)
    other = [f"--results={tmp_path}/elsewhere", places[1]]
    done = run_quickly(TRAIN, "--dataset=synthetic", f"--config={config}", *other, "--id=one")
    assert "exists in" in error_of(done)  # its logs
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert not (tmp_path / "results/.locks/one").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/tmp/x", ".locks", "a\nb", "\\x"])
def test_what_is_no_plain_name(name):
    with pytest.raises(ValueError, match="must be a plain name"):
        require_plain(name)


@pytest.mark.parametrize("name", ["", "../x"])
@pytest.mark.parametrize(
    "command", ["train-cifar", "--restore", "export", "evaluate", "plot", "report", "publish"]
)
def test_no_id_leads_out_of_its_folder(tmp_path, places, command, name):
    restores = command == "--restore"
    line = ["train-cifar", "--restore"] if restores else [command]
    flags = [name] if command in ("plot", "report") else [f"--id={name}"]
    data = ["--dataset=synthetic"] if command == "train-cifar" else []
    done = run_quickly(*line, *flags, *data, *places)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    error = error_of(done)
    assert "must be a plain name" in error or "is needed" in error or "needs --id" in error
    assert not list(tmp_path.rglob("*"))


def test_a_follower_says_once_that_nobody_trains(tmp_path, monkeypatch, capsys):
    follower = Evaluator.__new__(Evaluator)
    follower.experiment = types.SimpleNamespace(id="one", results=tmp_path / "one")
    rounds = []

    def sleep(_):
        rounds.append(1)
        if len(rounds) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(follower, "done", set)
    monkeypatch.setattr(evaluator, "end_of", lambda _: 10)
    monkeypatch.setattr(evaluator.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        follower.follow()
    assert capsys.readouterr().out.count("no process trains one now") == 1


def test_what_somebody_was_killed_at_writing_is_no_experiment(tmp_path):
    roots = (tmp_path / "results", tmp_path / "logs")
    folder = roots[0] / "one"
    folder.mkdir(parents=True)
    (folder / "conf.json.host@7.part").write_text("{")
    assert new_folders("one", roots) == [folder, roots[1] / "one"]
    (folder / "mean_image.npy").write_text("")
    with pytest.raises(UsageError, match=r"'one' exists in .*: remove"):
        new_folders("one", roots)
