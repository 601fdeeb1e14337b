"""Runs as processes, one after the other: tried, trained, taken up again."""

import contextlib
import ctypes
import dataclasses
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import threading

from resnet.commands import options
from resnet.errors import DataError, UsageError
from resnet.files import make_folder, write_json, write_text
from resnet.settings import FREE
from resnet.training.conf import CONF
from resnet.training.experiment import load_experiment
from resnet.training.interrupts import stop_requests
from resnet.training.result import read_result
from resnet.weights.checkpoint import list_checkpoints
from resnet.weights.folder import RESULT

PACKAGE_ROOT = pathlib.Path(__file__).resolve().parents[3]
TRAIN = ("-m", "resnet", "train-cifar")
TAIL = 4000  # characters of a process's stderr that are kept
PLACES = {"logs", "data_folder"}  # flags that a continued run needs again
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None)  # loaded before any fork


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a run.

    run: plan.Run.
    result: content of its result.json; None if it is not finished.
    message: why not, else "".
    """

    run: object
    result: dict | None
    message: str = ""


class Runner:
    """Runs of one file, in the folders `results` and `logs`.

    folder: of what belongs to the file as a whole, in `results`.
    """

    def __init__(self, folder, results, logs):
        self.folder, self._results, self._logs = folder, pathlib.Path(results), logs
        self._stop = None

    @contextlib.contextmanager
    def alone(self, path):
        """Holds a lock that the processes of runs share, so that none is run twice at a time.

        Args:
          path: of the file of experiments; its folder is of no other.

        Raises:
          UsageError: it is held, or the folder is another file's.
        """
        make_folder(self.folder)
        source, path = self.folder / "source", str(pathlib.Path(path).resolve())
        path = path.encode(errors="backslashreplace").decode()  # as it is written
        if source.exists() and source.read_text(encoding="utf-8").strip() != path:
            raise UsageError(
                f"{self.folder} is of {source.read_text(encoding='utf-8').strip()}: rename "
                f"{path}, give another --results, or remove {source} if the file has moved"
            )
        write_text(source, path + "\n")
        with open(self.folder / "lock", "w", encoding="utf-8") as lock, stop_requests() as stop:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(
                    f"the experiments of {self.folder} are running, or their last one is still "
                    "saving: wait for it to end"
                ) from None
            self._lock, self._stop = lock, stop
            yield

    @property
    def is_stopped(self):
        """Whether a signal asked to stop."""
        return bool(self._stop)

    def result(self, run):
        """Content of a finished run's result.json, else None."""
        with contextlib.suppress(OSError, DataError):  # a damaged one is none
            content = read_result(self._results / run.id / RESULT)
            if content["step"] == run.num_steps and content["accuracy"]:
                return content
        return None

    def has_begun(self, run):
        """Whether it has a conf.json, from which it can be continued."""
        return (self._results / run.id / CONF).exists()

    def differences(self, run):
        """What tells a run that has begun from the one that the file describes: [str]."""
        before = load_experiment(run.id, self._results, self._logs)
        ignored = set(FREE)
        if run.options.init_from and "preprocessor" not in run.changes:
            theirs = None
            with contextlib.suppress(UsageError):  # they may be gone by now
                theirs = before.init_preprocessor()
            if theirs in (None, before.config.preprocessor):
                ignored.add("preprocessor")  # the training took that of the weights
        found = [
            f"{key} was {was}, but is {vars(now)[key]} now"
            for old, now in ((before.config, run.config), (before.options, run.options))
            for key, was in vars(old).items()
            if was != vars(now)[key] and key not in ignored
        ]
        reached = max(list_checkpoints(before.results), default=0)
        if reached > run.num_steps:
            found.append(f"it has reached step {reached}, but ends at {run.num_steps} now")
        return found

    def smoke_test(self, run):
        """Tries a run on a few images; an Outcome without result if it fails, else None."""
        source = run.options.init_from
        # A run before makes it.
        if run.source and not list_checkpoints(self._results / source):
            flags = {name: value for name, value in run.flags.items() if name != "init_from"}
            run = dataclasses.replace(run, flags=flags)
        code, message = self._process([*self._new_run(run), "--smoke_test"])
        return Outcome(run, None, f"smoke test: {message}") if code else None

    def train(self, run):
        """Trains a run, or continues it; its Outcome."""
        if self.has_begun(run):
            settings = vars(run.config) | vars(run.options)
            given = {k: v for k, v in run.flags.items() if k in PLACES}
            given |= {k: settings[k] for k in sorted(FREE) if settings[k] is not None}
            given.pop("deterministic")  # of another command
            given["max_num_steps"] = run.num_steps
            arguments = [*self._flags(run, given), "--restore"]
        else:
            arguments = self._new_run(run)
        code, message = self._process(arguments)
        message = "stopped" if code and self.is_stopped else message
        result = None if code else self.result(run)
        return Outcome(run, result, message or ("" if result else "ended without a result"))

    def _new_run(self, run):
        """Arguments that start a run."""
        flags, changes = dict(run.flags), run.changes
        if changes:
            if "recipe" in flags:  # the flag does not go with a file that changes what it sets
                changes = {"recipe": flags.pop("recipe")} | changes
            flags["config"] = self.folder / f"{run.id}.json"
            write_json(flags["config"], changes)
        return self._flags(run, flags)

    def _flags(self, run, values):
        """{flag: value} and the run's id and folders as arguments."""
        values = {"id": run.id, "results": self._results, "logs": self._logs} | values
        return [options.argument(name, value) for name, value in values.items()]

    def _process(self, arguments):
        """Runs the training script; returns (exit code, its error message)."""
        process = subprocess.Popen(
            [sys.executable, *TRAIN, *arguments],
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": _with_package(os.environ.get("PYTHONPATH"))},
            pass_fds=[self._lock.fileno()],
            start_new_session=True,  # Ctrl-C is for this process, which passes it on once
            preexec_fn=_end_with_parent,
        )
        kept = []
        reader = threading.Thread(target=_copy, args=(process.stderr, kept))
        reader.start()
        asked = False
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
                break
            if self._stop and not asked:
                process.send_signal(signal.SIGTERM)
                asked = True
        reader.join()
        process.stderr.close()
        code = process.returncode
        if code < 0:
            return code, f"ended by {signal.Signals(-code).name}: out of memory, or killed"
        return code, _error_line("".join(kept)) if code else ""


def _with_package(python_path):
    """PYTHONPATH with the folder of this package first: a checkout need not be installed."""
    return os.pathsep.join([str(PACKAGE_ROOT), *([python_path] if python_path else [])])


def _end_with_parent():
    """In a new process on Linux: asks for SIGTERM if the one that started it is killed."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _copy(stream, kept):
    """Copies a stream to stderr as it comes, and keeps its end."""
    while part := os.read(stream.fileno(), 2**16):
        text = part.decode(errors="replace")
        sys.stderr.write(text)
        sys.stderr.flush()
        kept[:] = ["".join([*kept, text])[-TAIL:]]


def _error_line(text):
    """The line of an error in a process's output, or its last line."""
    lines = [line.rpartition("\r")[2].strip() for line in text.splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    return (errors or lines or ["ended without a message"])[-1]
