"""Trainings that are killed, or whose power is cut, and go on: nothing is lost, no bit differs."""

import csv
import json
import pathlib
import random
import re
import shutil
import time

import pytest

from log_files import events_of
from processes import REPOSITORY, assert_same_checkpoint, run_quickly, write_config
from resnet.weights.checkpoint import list_checkpoints

HARNESS = pathlib.Path(__file__).with_name("kill_points.py")
TRAIN, RESNET = "run_cifar_train.py", "resnet/__main__.py"
STEPS, NUM_RANDOM = 6, 60
NEW_INDEX = r"results/one/model\.ckpt-(\d+)\.index\.\S*\.part"
TIMES = ("step_seconds", "peak_mb", "eval_seconds")  # logs whose values differ from run to run
CONFIG = {
    "num_steps": STEPS,
    "learning_rates": [0.1, 0.01],
    "boundaries": [4],
    "units": [1, 1],
    "log_every": 3,  # so that some checkpoints are between rows
    "save_every": 2,
    "evaluate_every": 3,
    "ema_decay": 0.9,
}
OPTIONS = ("--eval_images=20", "--keep_best", "--keep_checkpoints=1")


class Trial:
    """A folder with a training that may be killed."""

    def __init__(self, folder):
        self.folder, self.work = folder, folder / "work"
        self.work.mkdir(parents=True)
        self.config = write_config(folder, **CONFIG)
        self.journal = folder / "journal"

    def run(self, script, *arguments, how="none", at=0):
        """Runs a script under the harness; returns the completed process."""
        places = (f"--results={self.work / 'results'}", f"--logs={self.work / 'logs'}")
        return run_quickly(
            str(HARNESS.relative_to(REPOSITORY)),
            *(self.work, self.journal, how, at, REPOSITORY / script),
            *(*arguments, *places),
        )

    def train(self, how="none", at=0):
        """Starts a training."""
        new = ("--dataset=synthetic", f"--config={self.config}", *OPTIONS)
        return self.run(TRAIN, "--id=one", *new, how=how, at=at)

    def go_on(self):
        """What a user does after a kill; returns the output."""
        done = self.run(TRAIN, "--id=one", "--restore")
        if "no experiment 'one'" in done.stderr:
            done = self.train()
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    @property
    def calls(self):
        """The calls that change files, so far."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def last_synced(self):
        """The step of the last checkpoint that must outlive a power cut; None before."""
        step, renamed = None, None
        for call in self.calls[:-1]:  # before the last, it was cut
            name, path = call.split()
            if name == "replace" and (match := re.fullmatch(NEW_INDEX, path)):
                renamed = int(match[1])
            if name == "fsync" and path == "results/one":
                step = renamed
        return step

    @property
    def results(self):
        return self.work / "results" / "one"

    def rows(self):
        """{log: [step] or [(step, value)]} of the CSV files."""
        found = {}
        for path in (self.work / "logs" / "one").glob("*.csv"):
            with open(path, newline="") as file:
                rows = [tuple(row.values()) for row in csv.DictReader(file)]
            timed = path.stem in TIMES
            found[path.stem] = [row[0] if timed else (row[0], row[2]) for row in rows]
        return found

    def events(self):
        """[(tag, step)] of TensorBoard's files."""
        return events_of(self.work / "logs" / "one")


def assert_as_whole(trial, whole):
    """Checks that a training that went on has left what one left that was not killed."""
    assert_same_checkpoint(
        *(list_checkpoints(one.results)[STEPS] for one in (trial, whole)),
    )
    best = [list_checkpoints(one.results / "best") for one in (trial, whole)]
    assert list(best[0]) == list(best[1])
    assert_same_checkpoint(*(one[max(one)] for one in best))
    assert trial.rows() == whole.rows()
    assert trial.events() == whole.events()
    accuracy = [json.loads((t.results / "result.json").read_text()) for t in (trial, whole)]
    assert accuracy[0]["accuracy"] == accuracy[1]["accuracy"]
    names = [
        sorted(str(p.relative_to(t.work)) for p in t.work.rglob("*") if "events." not in p.name)
        for t in (trial, whole)
    ]
    assert names[0] == names[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that was not killed, and how long it took."""
    trial, start = Trial(tmp_path_factory.mktemp("whole")), time.monotonic()
    done = trial.train()
    assert done.returncode == 0, done.stderr
    trial.seconds = time.monotonic() - start
    return trial


def killed(folder, whole, how, at):
    """Kills a training, goes on, and compares; returns whether it had not ended before."""
    trial = Trial(folder)
    done = trial.train(how, at)
    if how == "time" and done.returncode == 0:
        return False
    assert done.returncode == -9, (how, at, done.stdout, done.stderr)
    saved = max(list_checkpoints(trial.results), default=None)
    if how == "power":
        assert saved == trial.last_synced()
    said = trial.go_on()
    assert saved is None or f"model.ckpt-{saved}\n" in said
    assert_as_whole(trial, whole)
    return True


@pytest.mark.parametrize(
    ("how", "call"),
    [
        ("kill", r"replace results/one/model.ckpt-4.index\S*part"),  # its data is there
        ("power", r"unlink results/one/model.ckpt-2.index"),
        ("power", r"fsync logs/one/train_ce.csv"),
    ],
)
def test_a_kill_or_power_cut(tmp_path, whole, how, call):
    (at, *_) = [i for i, found in enumerate(whole.calls, 1) if re.fullmatch(call, found)]
    killed(tmp_path, whole, how, at)


COMMANDS = {
    "npz": ("export", "--id=one", "--format=npz"),
    "keras": ("export", "--id=one", "--format=keras", "--preprocessing"),
    "saved_model": ("export", "--id=one", "--format=saved_model"),
    "import": ("import", "--id=two", "--source=revnet-public", "--dataset=synthetic"),
}


@pytest.mark.faults_full
@pytest.mark.parametrize("name", COMMANDS)
def test_every_kill_of_what_works_on_a_trained_one(tmp_path, whole, name):
    """The next run leaves what one would have left that was not killed, and nothing else."""

    def trial(folder):
        one = Trial(folder)
        shutil.copytree(whole.work, one.work, dirs_exist_ok=True)
        checkpoint = list_checkpoints(one.results)[STEPS]
        ending = {"npz": ".npz", "keras": ".keras"}.get(name, "")
        places = [f"--output={one.work / 'exports' / 'it'}{ending}"]
        if name == "import":
            places = [f"--checkpoint={checkpoint}", f"--config={one.config}"]
        return one, (RESNET, *COMMANDS[name], *places)

    def names(one):
        """All but the lock of a dead process, which holds nobody up."""
        found = (str(path.relative_to(one.work)) for path in one.work.rglob("*"))
        return sorted(name for name in found if ".locks" not in name)

    wanted, line = trial(tmp_path / "wanted")
    done = wanted.run(*line)
    assert done.returncode == 0, done.stderr
    for at, call in enumerate(wanted.calls, 1):
        for how in ("kill", "power"):
            one, line = trial(tmp_path / f"{how}-{at}")
            assert one.run(*line, how=how, at=at).returncode == -9
            done = one.run(*line)
            assert done.returncode == 0 or "exists" in done.stderr, (call, done.stderr)
            assert names(one) == names(wanted), (how, at, call)
    print(f"{len(wanted.calls)} calls")


@pytest.mark.faults_full
def test_every_kill_and_power_cut(tmp_path, whole):
    failures = []
    for at, call in enumerate(whole.calls, 1):
        for how in ("kill", "power"):
            try:
                killed(tmp_path / f"{how}-{at}", whole, how, at)
            except AssertionError as error:
                failures.append(f"{how} at {at}, {call}: {error}")
                print(failures[-1], flush=True)
    print(f"{len(whole.calls)} calls, {len(failures)} failures")
    assert not failures


@pytest.mark.faults_full
def test_random_kills(tmp_path, whole):
    rng, count, tries = random.Random(0), 0, 0
    while count < NUM_RANDOM:
        tries += 1
        count += killed(tmp_path / str(tries), whole, "time", rng.uniform(0, whole.seconds))
    print(f"{count} kills at random moments of {whole.seconds:.1f} s")
