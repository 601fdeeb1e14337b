"""What tests rely on: their processes end with them, and their ports are theirs alone."""

import os
import signal
import subprocess
import sys
import time

import pytest

import children
import ports
from processes import start_quickly

# Starts a process in a session of its own, says which, and waits.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # before it is opened, and behind
        return False


def assert_ends(pid):
    for _ in range(100):
        if not is_running(pid):
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is running")


def test_a_process_ends_with_all_that_it_started():
    process = children.start([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    assert is_running(child)
    children.end_all()
    assert process.returncode < 0 and not process.ended_by_limit
    assert_ends(child)


def test_reading_from_a_process_that_hangs_ends_with_its_limit():
    process = children.start([sys.executable, "-c", PARENT], 2, stdout=subprocess.PIPE, text=True)
    child, *rest = process.stdout.readlines()
    assert not rest and process.ended_by_limit
    assert_ends(int(child))
    with pytest.raises(subprocess.TimeoutExpired):
        children.run(["sleep", "60"], 0.2)


def test_gpus_are_hidden_whatever_environment_is_given():
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    for environment in (None, {"PATH": "/usr/bin:/bin"}):
        assert children.run([sys.executable, "-c", code], env=environment).stdout == "-1\n"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"


def test_ports_are_not_shared(free_ports):
    low, high = map(int, ports.EPHEMERAL.read_text().split())
    assert len(set(free_ports)) == 2 and not any(low <= port <= high for port in free_ports)
    with ports.reserved(50) as others:
        assert len(others) == 50 and not set(others) & set(free_ports)


SAYS_ITS_ID = """\
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
print(os.getpid(), os.environ["NOTE"], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 7), (signal.SIGTERM, -15), (signal.SIGKILL, -9)]
)
def test_a_fork_gets_the_signals_of_its_stand_in_and_ends_with_it(tmp_path, number, status):
    script = tmp_path / "says.py"
    script.write_text(SAYS_ITS_ID)
    process = start_quickly(str(script), environment={"NOTE": "here"})
    pid, note = process.stdout.readline().split()
    assert note == "here" and int(pid) != process.pid
    process.send_signal(number)
    assert process.communicate(timeout=10) == ("", "") and process.returncode == status
    assert_ends(int(pid))
