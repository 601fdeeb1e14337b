"""Runs the project's scripts as a user does: as processes."""

import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np

import children
import forked
from resnet.weights.checkpoint_format import read_checkpoint

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # with another value, a process computes other bits

# RevNet with two stages, small enough for some hundred steps in a few seconds.
TINY = {
    "name": "revnet-38",
    "units": [2, 2],
    "stem_filters": 4,
    "filters": [4, 8],
    "strides": [1, 2],
    "batch_size": 10,
    "log_every": 1,
    "evaluate_every": 1000,
    "evaluation_batch_size": 500,
}


def write_config(folder, base=TINY, **changes):
    """A JSON config of a tiny network in `folder`; returns its path."""
    path = pathlib.Path(folder) / "tiny.json"
    path.write_text(json.dumps(base | changes))
    return path


def command(script, *arguments):
    """The command line of a script (NAME.py) or command of `resnet`, run by this Python."""
    target = [str(REPOSITORY / script)] if script.endswith(".py") else ["-m", "resnet", script]
    return [sys.executable, *target, *map(str, arguments)]


def run(script, *arguments, preexec_fn=None, timeout=300):
    """Runs a script to its end; returns the completed process with its text output."""
    line = command(script, *arguments)
    return children.run(line, timeout, cwd=REPOSITORY, preexec_fn=preexec_fn)


def run_file(path, *arguments):
    """Runs a file that is not one of the project's scripts to its end; returns what it prints.

    Those of tests need processes because logical devices can only be made before
    TensorFlow starts. TensorFlow is loaded already, and what a training imports.
    """
    done = _run_fork([str(path), *map(str, arguments)], REPOSITORY)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_file_afresh(path, *arguments):
    """As `run_file`, in a process in which nothing is loaded."""
    done = children.run(
        [sys.executable, str(path), *map(str, arguments)],
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", ONEDNN: os.environ[ONEDNN]},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


COVERAGE = "SLIPCOVER_COVERAGE_DIR"  # where slipcover merges what its workers write


def _measured():
    """Arguments of Python that count the lines run by a script and its forks; none if not asked.

    Asked by running the tests under slipcover.
    """
    if COVERAGE not in os.environ:
        return []
    output = f"{os.environ[COVERAGE]}/coverage-{os.environ['PYTEST_XDIST_WORKER']}-forks.json"
    return ["-m", "slipcover", f"--out={output}"]


@functools.cache
def _fork_server():
    """(process that forks itself for every script, its address); see fork_server.py."""
    address = os.path.join(tempfile.mkdtemp(prefix="forks"), "socket")
    environment = os.environ | children.HIDDEN_GPUS
    environment.pop(COVERAGE, None)  # or the first fork that ends would remove the folder
    server = subprocess.Popen(
        [sys.executable, *_measured(), str(REPOSITORY / "tests" / "fork_server.py"), address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=environment,
    )
    assert server.stdout.readline() == "ready\n"
    return server, address


def end_fork_server():
    """Ends the process that forks itself, if there is one."""
    if _fork_server.cache_info().currsize:
        server, address = _fork_server()
        server.communicate()
        shutil.rmtree(os.path.dirname(address))
        _fork_server.cache_clear()


def _run_fork(line, folder):
    """Runs a command line without its Python in a folder, in a fork of the server's process."""
    request = json.dumps({"folder": str(folder), "line": line, "environment": {}})
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        with forked.ask(_fork_server()[1], request, (stdout.fileno(), stderr.fileno())) as answers:
            _, status = map(int, answers)  # the server limits the script's time
        for file in (stdout, stderr):
            file.seek(0)
        return subprocess.CompletedProcess(line, status, stdout.read(), stderr.read())


def run_quickly(script, *arguments, folder=REPOSITORY):
    """As `run`, in a folder, for scripts that end soon: TensorFlow is loaded already."""
    return _run_fork(command(script, *arguments)[1:], folder)


def start(script, *arguments):
    """Starts a script; its output is a pipe of lines."""
    return _start(command(script, *arguments))


def start_quickly(script, *arguments, environment=None):
    """As `start`, with more environment variables: TensorFlow is loaded already.

    Its process id is another one than the script's, to which it passes signals on.
    """
    line = command(script, *arguments)[1:]
    request = {"folder": str(REPOSITORY), "line": line, "environment": environment or {}}
    stand_in = [sys.executable, "-SE", forked.__file__]
    return _start([*stand_in, _fork_server()[1], json.dumps(request)])


def _start(line):
    pipe = subprocess.PIPE
    return children.start(line, stdout=pipe, stderr=pipe, text=True, cwd=REPOSITORY)


def host_environment(index, ports):
    """TF_CONFIG of one of several hosts on the loopback interface."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return {
        "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    }


def assert_same_checkpoint(one, other):
    """Checks that two checkpoints hold the same names and bytes."""
    one, other = read_checkpoint(one), read_checkpoint(other)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def error_of(process):
    """The one error line of a process that failed as a script should."""
    assert process.returncode in (1, 2), (process.returncode, process.stdout, process.stderr)
    assert "Traceback" not in process.stderr, process.stderr
    errors = [line for line in process.stderr.splitlines() if "error: " in line]
    assert len(errors) == 1, process.stderr
    return errors[0].partition("error: ")[2]
