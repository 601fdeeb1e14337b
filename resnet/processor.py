"""The processor of this machine, as far as Linux describes it."""

import os
import pathlib
import platform

CPUINFO = pathlib.Path("/proc/cpuinfo")


def describe_processor() -> str:
    """Name, and number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    facts = _facts()
    if "model name" in facts:
        name = f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"{name}, {cores} core{'' if cores == 1 else 's'}"


def is_slow_in_bfloat16() -> bool:
    """Whether it is known to have no AVX-512, without which oneDNN has no fast bfloat16."""
    flags = _facts().get("flags", "avx512f").split()  # other processors have no such line
    return "avx512f" not in flags


def _facts() -> dict[str, str]:
    """{name: value} of the last core; {} where there is no such file."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
