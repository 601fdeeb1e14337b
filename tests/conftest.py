"""Fixtures that all tests share."""

import os
import pathlib
import socket
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))


@pytest.fixture(scope="session")
def shared():
    """Folder of goldens and real data that are no part of the project."""
    folder = pathlib.Path(os.environ.get("RESNET_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} with goldens and real data is not here; set RESNET_SHARED")
    return folder


@pytest.fixture
def free_ports():
    """Two ports of the loopback interface that nothing listens on."""
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
