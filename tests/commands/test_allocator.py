"""Another allocator: the process starts again with it, once."""

import ctypes.util
import os
import subprocess
import sys

import pytest

from processes import REPOSITORY, error_of, run_quickly
from resnet.commands import allocator
from resnet.commands.allocator import LIBRARIES, MARK, start_with

SCRIPT = """\
import sys
from resnet.commands.allocator import start_with
start_with("tcmalloc")
print(sys.argv[1:], "tcmalloc" in open("/proc/self/maps").read())
"""


@pytest.fixture
def started(monkeypatch):
    """[(path, arguments, environment)] of processes that take this one's place."""
    found = []
    monkeypatch.setattr(os, "execve", lambda *arguments: found.append(arguments))
    monkeypatch.setattr(allocator.ctypes.util, "find_library", {LIBRARIES[1]: "lib.so.4"}.get)
    return found


def test_a_process_starts_again_with_the_library_before_all_others(started, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "other.so")
    start_with(None)
    assert not started
    start_with("tcmalloc")
    ((path, line, environment),) = started
    assert path == sys.executable and line[1:] == sys.orig_argv[1:]
    assert environment["LD_PRELOAD"] == "lib.so.4:other.so"
    assert environment["TF_ONEDNN_USE_SYSTEM_ALLOCATOR"] == "1"
    monkeypatch.setenv(MARK, environment[MARK])
    start_with("tcmalloc")
    assert len(started) == 1
    start_with("glibc")  # has no library
    *_, environment = started[1]
    assert environment["LD_PRELOAD"] == "other.so"
    assert environment["MALLOC_MMAP_THRESHOLD_"] == "65536"


def test_a_machine_without_the_library_says_what_to_install(monkeypatch):
    done = run_quickly("train-cifar", "--allocator=jemalloc", "--dry_run")
    assert "allocator is 'jemalloc', but must be one of tcmalloc, glibc" in error_of(done)
    monkeypatch.setattr(allocator.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(ValueError, match=r"no libtcmalloc_minimal: install it \(Debian"):
        start_with("tcmalloc")


@pytest.mark.skipif(
    not any(map(ctypes.util.find_library, LIBRARIES)), reason="tcmalloc is not on this machine"
)
def test_the_library_is_loaded_and_arguments_stay():
    line = [sys.executable, "-c", SCRIPT, "--a b", "c"]
    done = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "['--a b', 'c'] True\n"
