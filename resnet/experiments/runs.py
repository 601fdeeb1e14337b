"""Runs as processes, one after the other: tried, trained, taken up again."""

import contextlib
import ctypes
import dataclasses
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

from resnet.errors import UsageError
from resnet.files import write_json
from resnet.training.experiment import CONF, RESULT, load_experiment
from resnet.training.flags import FREE_ON_RESTORE
from resnet.training.interrupts import stop_requests

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "run_cifar_train.py"
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
    def alone(self):
        """Holds a lock that the processes of runs share, so that none is run twice at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
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
        with contextlib.suppress(OSError, ValueError):
            content = json.loads((self._results / run.id / RESULT).read_text(encoding="utf-8"))
            if content["step"] == self._num_steps(run):
                return content
        return None

    def has_begun(self, run):
        """Whether it has a conf.json, from which it can be continued."""
        return (self._results / run.id / CONF).exists()

    @staticmethod
    def _num_steps(run):
        return min(run.config.num_steps, run.options.max_num_steps or run.config.num_steps)

    def require_same(self, run):
        """Checks that a run that has begun is the one that the file describes.

        Raises:
          UsageError: it is not; says what differs.
        """
        before = load_experiment(run.id, self._results, self._logs)
        fields = {
            **{key: (value, vars(run.config)[key]) for key, value in vars(before.config).items()},
            **{key: (value, vars(run.options)[key]) for key, value in vars(before.options).items()},
        }
        for key, (was, now) in fields.items():
            if was != now and key not in FREE_ON_RESTORE:
                raise UsageError(
                    f"{run.id} has begun with {key} {was}, but the file says {now}: rename the "
                    f"experiment, or remove {self._results / run.id}"
                )

    def smoke_test(self, run):
        """Tries a run on a few images; an Outcome without result if it fails, else None."""
        code, message = self._process([*self._new_run(run), "--smoke_test"])
        return Outcome(run, None, f"smoke test: {message}") if code else None

    def train(self, run):
        """Trains a run, or continues it; its Outcome."""
        if self.has_begun(run):
            given = {k: v for k, v in run.flags.items() if k in FREE_ON_RESTORE | PLACES}
            arguments = [*self._flags(run, given), "--restore"]
        else:
            arguments = self._new_run(run)
        code, message = self._process(arguments)
        return Outcome(run, None if code else self.result(run), message)

    def _new_run(self, run):
        """Arguments that start a run."""
        config = {}
        if run.changes:
            path = self.folder / f"{run.id}.json"
            write_json(path, run.changes)
            config = {"config": path}
        return self._flags(run, run.flags | config)

    def _flags(self, run, values):
        """{flag: value} and the run's id and folders as arguments."""
        values = {"id": run.id, "results": self._results, "logs": self._logs} | values
        return [
            f"--{'' if value else 'no'}{name}" if isinstance(value, bool) else f"--{name}={value}"
            for name, value in values.items()
        ]

    def _process(self, arguments):
        """Runs the training script; returns (exit code, its error message)."""
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments],
            stderr=subprocess.PIPE,
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
        return process.returncode, _error_line("".join(kept)) if process.returncode else ""


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
