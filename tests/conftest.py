"""Fixtures that all tests share."""

import gc
import os
import pathlib
import signal
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

import children  # noqa: E402
import ports  # noqa: E402
import tensorflow_settings  # noqa: E402

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as commands have it
# Before TensorFlow is loaded, and for all processes that tests start.
os.environ.update(children.HIDDEN_GPUS)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's job in the background ignores Ctrl-C; what tests start from here shall not.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared():
    """Folder of goldens and real data that are no part of the project."""
    folder = pathlib.Path(os.environ.get("RESNET_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} with goldens and real data is not here; set RESNET_SHARED")
    return folder


def pytest_collection_finish():
    """What is loaded by now, the garbage collector need not look through again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_process_outlives_the_tests():
    """Ends the process that runs scripts for tests."""
    yield
    if processes := sys.modules.get("processes"):
        processes.end_fork_server()


@pytest.fixture(autouse=True)
def no_child_outlives_its_test():
    """Ends the processes that a failing test has left."""
    yield
    children.end_all()


@pytest.fixture(autouse=True)
def tensorflows_settings_are_its_own():
    """What a test sets for the whole process holds for no other test."""
    with tensorflow_settings.defaults_afterwards():
        yield


@pytest.fixture
def sums_as_written():
    """The graph optimiser leaves additions in their order, as in training."""
    from resnet.training.steps import keep_order_of_sums

    keep_order_of_sums()


@pytest.fixture
def free_ports():
    """Two ports of the loopback interface, which no other test has until this one ends."""
    with ports.reserved(2) as numbers:
        yield numbers


@pytest.fixture(scope="session")
def cifar(shared, tmp_path_factory):
    """A data folder with CIFAR-10's and CIFAR-100's archives."""
    from processes import run

    folder = tmp_path_factory.mktemp("data")
    done = run(str(shared / "tools" / "cifar_archives.py"), folder, "--format=binary")
    assert done.returncode == 0, done.stderr
    return folder
