"""What a result was computed with: this project's commit, the packages' versions, the machine."""

import collections
import importlib.metadata
import pathlib
import platform
import subprocess
from collections.abc import Sequence

from resnet.hints import IS_CHECKOUT
from resnet.processor import describe_processor

PACKAGES = ("resnet-reversible", "tensorflow", "tensorflow-cpu", "keras", "numpy")


def provenance(gpus: Sequence[str] = ()) -> dict[str, object]:
    """A JSON object: commit, or None outside a checkout; versions; machine.

    Args:
      gpus: names of the GPUs that were used.
    """
    return {"commit": _commit(), "versions": _versions(), "machine": _machine(gpus)}


def peak_memory(mb: float) -> str:
    """What a result's `peak_mb` says, for a table."""
    return f"{mb:,.0f} MB, of a GPU or, on CPUs, over the size before training"


def images_per_second(images: int, seconds: float) -> str:
    """The speed of a training, for a table; "" of one that took no time, as an imported one."""
    return f"{images / seconds:,.0f}" if seconds else ""


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
    counts = [f"{count} {gpu}" for gpu, count in collections.Counter(gpus).items()]
    return ", ".join([*counts, describe_processor()])
