"""What a result was computed with: this project's commit, the packages' versions, the machine."""

import collections
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from collections.abc import Sequence

from resnet.hints import IS_CHECKOUT

PACKAGES = ("resnet-reversible", "tensorflow", "tensorflow-cpu", "keras", "numpy")


def provenance(gpus: Sequence[str] = ()) -> dict[str, object]:
    """A JSON object: commit, or None outside a checkout; versions; machine.

    Args:
      gpus: names of the GPUs that were used.
    """
    return {"commit": _commit(), "versions": _versions(), "machine": _machine(gpus)}


def _commit() -> str | None:
    """The checkout's commit, with "-dirty" where files differ from it."""
    if not IS_CHECKOUT:
        return None
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    folder = pathlib.Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _machine(gpus: Sequence[str]) -> str:
    """GPUs, processor and number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    facts = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
    if "model name" in facts:
        name = f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    counts = [f"{count} {gpu}" for gpu, count in collections.Counter(gpus).items()]
    return ", ".join([*counts, name, f"{cores} core{'' if cores == 1 else 's'}"])
