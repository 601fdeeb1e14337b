"""How large this process is. Needs the standard library alone."""

import contextlib
import ctypes
import gc
import pathlib
import re
import resource
import sys
from typing import Any


def return_free_memory() -> None:
    """Gives memory that is free in this process back to the machine, where it is known how.

    What is used again does not count as growth: of a process that has freed much, such as copies
    of a data set, `peak_over` would say too little.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def size_now() -> float:
    """This process's resident size, MB of 2^20 bytes; its peak starts anew where it can."""
    with contextlib.suppress(OSError):  # elsewhere, the peak is that of all of its life
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # man 5 proc
    return _resident_mb("VmRSS")


def peak_over(size: float) -> float:
    """By how many MB this process's resident size has been over `size` since `size_now`."""
    return _resident_mb("VmHWM") - size


def available_bytes() -> int | None:
    """Memory that this machine can still give; None where it does not say."""
    return _machine("MemAvailable")


def machine_bytes() -> int | None:
    """All memory of this machine, what it swaps to included; None where it does not say."""
    total = _machine("MemTotal")
    return None if total is None else total + (_machine("SwapTotal") or 0)


def address_space() -> int | None:
    """Bytes of address space that this process may take in all; None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def _machine(field: str) -> int | None:
    """Bytes of a field of Linux' table of its memory."""
    try:
        text = pathlib.Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(rf"{field}:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else None


def _resident_mb(field: str) -> float:
    """A field of the process's status.

    getrusage will not do where there is /proc: a new process inherits the peak of the
    one that started it.
    """
    try:
        status = pathlib.Path("/proc/self/status").read_text()
        found: Any = re.search(rf"{field}:\s+(\d+) kB", status)  # Linux always has it
        return int(found[1]) / 1024
    except OSError:
        bytes_per_unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit / 2**20
