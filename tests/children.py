"""Processes that tests start: none outlives its test or its time limit, nor do theirs."""

import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import uuid

LIMIT_SECONDS = 300
HIDDEN_GPUS = {"CUDA_VISIBLE_DEVICES": "-1"}  # the tests' numbers are those of CPUs
MARK = "RESNET_TEST_CHILD"  # environment variable that a process's descendants inherit
_started = []  # [(process, timer)] of the running test


def start(command, limit=LIMIT_SECONDS, **options):
    """Starts a process; after `limit` seconds it is killed, so that reading from it ends.

    Args:
      command: its command line, a list.
      limit: seconds.
      **options: of subprocess.Popen.

    Returns:
      subprocess.Popen; `ended_by_limit` tells whether it was killed for its time.
    """
    mark = uuid.uuid4().hex
    environment = options.pop("env", None) or os.environ
    process = subprocess.Popen(
        command,
        env={**environment, **HIDDEN_GPUS, MARK: mark},
        start_new_session=True,
        **options,
    )
    process.mark, process.ended_by_limit = mark, False
    timer = threading.Timer(limit, _end_for_its_time, [process])
    timer.daemon = True
    timer.start()
    _started.append((process, timer))
    return process


def run(command, limit=LIMIT_SECONDS, **options):
    """Runs a process to its end.

    Returns:
      subprocess.CompletedProcess with its text output.

    Raises:
      subprocess.TimeoutExpired: it took longer than `limit` seconds.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    process = start(command, limit, **options)
    stdout, stderr = process.communicate()
    end(process)
    if process.ended_by_limit:
        raise subprocess.TimeoutExpired(command, limit, stdout, stderr)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def end(process):
    """Kills a process that `start` made, and all that it has started."""
    for entry in [entry for entry in _started if entry[0] is process]:
        entry[1].cancel()
        _started.remove(entry)
    _kill(process)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def end_all():
    """Ends whatever the running test has started."""
    for process, _ in list(_started):
        end(process)


def _end_for_its_time(process):
    process.ended_by_limit = process.poll() is None
    _kill(process)


def _kill(process):
    """Kills its group, and where Linux lists processes, what went into groups of its own."""
    others = _descendants(process.pid) | _marked(process.mark)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pid in others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants(pid):
    """Processes that it has started, and those that they have."""
    parents = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def _marked(mark):
    """Processes with the mark in their environment: those whose parents have ended, too."""
    found, entry = set(), f"{MARK}={mark}".encode()
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if entry in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
    return found
