"""Ports for servers that tests start, of which no two tests have the same at a time.

A port that the kernel gives may be given again before a server listens on it, and
TensorFlow's servers do not bind beside a socket that holds it. Hence ports that the kernel
gives to nobody who asks for any, each with a lock that the test's process holds.
"""

import contextlib
import fcntl
import os
import pathlib
import random
import socket
import tempfile

EPHEMERAL = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST, LAST = 20_000, 65_535
LOCKS = pathlib.Path(tempfile.gettempdir()) / f"resnet-test-ports-{os.getuid()}"


def candidates():
    """Ports that the kernel gives to nobody who asks for any, in random order."""
    low, high = map(int, EPHEMERAL.read_text().split()) if EPHEMERAL.exists() else (49_152, LAST)
    found = [port for port in range(FIRST, LAST + 1) if not low <= port <= high]
    return random.sample(found, len(found))


@contextlib.contextmanager
def reserved(count):
    """Yields `count` ports of the loopback interface on which nothing else listens."""
    LOCKS.mkdir(exist_ok=True)
    with contextlib.ExitStack() as held:
        ports = []
        for port in candidates():
            lock = held.enter_context(open(LOCKS / str(port), "w"))
            if _is_locked_by_us(lock) and _is_free(port):
                ports.append(port)
            if len(ports) == count:
                break
        yield ports


def _is_locked_by_us(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(port):
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
