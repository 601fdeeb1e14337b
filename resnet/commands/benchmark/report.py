"""The comparison's table."""

import os
import platform
import statistics
import textwrap

from resnet.commands.benchmark.compare import PEERS, WAYS, peer_row
from resnet.commands.benchmark.training import peak_of
from resnet.table import markdown

STORED = {"float32": "float32 exact, stored", "bfloat16": "bfloat16 exact, stored"}
HEADER = (
    "",
    "images/s (rounds)",
    *(f"over {library}" for library in PEERS),
    "time over stored",
    "MB an image",
    "peak, MB",
    "first step, s",
)
MAX_REASON = 200  # characters of why a row failed


def report(comparison, results):
    """A Markdown table of Results, with what they were measured on beneath.

    A row that failed says why; of one that was not measured to its end, there is what there is.
    """
    rows = [_row(name, results, comparison.sizes) for name in results.rows]
    return "\n".join([markdown([HEADER, *rows]), "", _provenance(comparison, results)])


def _row(name, results, sizes):
    found = results.found[name]
    ratios = [_ratio(results, name, _row_of(library, name)) for library in PEERS]
    is_own = name in WAYS
    return (
        name,
        _rates(found, results.failed.get(name)),
        *ratios,
        _ratio(results, STORED[_dtype(name)], name) if is_own else "",
        _slope(results.peaks.get(name, {}), sizes),
        _median(found, peak_of, 0),
        _median(found, lambda result: result["first_step_seconds"], 1),
    )


def _dtype(name):
    """The type that a row computes in."""
    return "bfloat16" if "bfloat16" in name else "float32"


def _row_of(library, name):
    """A library's row that another is set against: of the same type where it has that."""
    _, dtypes = PEERS[library]
    dtype = _dtype(name)
    return peer_row(library, dtype if dtype in dtypes else dtypes[0])


def _rates(found, failure):
    parts = []
    if found:
        rates = [result["images_per_second"] for result in found]
        parts.append(f"{statistics.median(rates):.1f} ({min(rates):.1f}-{max(rates):.1f})")
    if failure:
        parts.append("failed: " + textwrap.shorten(failure, MAX_REASON, placeholder=" ..."))
    return "; ".join(parts) or "not measured"


def _ratio(results, one, other):
    """Speed of one row over another's in the same round: the rounds' median, and their range."""
    # A row that was not measured to its end lacks its last rounds.
    pairs = list(zip(results.found.get(one, ()), results.found.get(other, ()), strict=False))
    if one == other or not pairs:
        return "1" if pairs else ""
    ratios = [a["images_per_second"] / b["images_per_second"] for a, b in pairs]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _slope(peaks, sizes):
    """MB an image."""
    low, high = sizes
    return f"{(peaks[high] - peaks[low]) / (high - low):.2f}" if peaks.keys() >= {*sizes} else ""


def _median(found, value_of, digits):
    return f"{statistics.median(map(value_of, found)):.{digits}f}" if found else ""


def _provenance(comparison, results):
    base, sizes = comparison.base, comparison.sizes
    config = base.config
    firsts = {name: found[0] for name, found in results.found.items() if found}
    devices = {firsts[name]["device"] for name in WAYS if name in firsts}
    versions = {}
    for first in firsts.values():
        versions |= first["versions"]
    text = (
        f"{config.name}, units {'-'.join(map(str, config.units))}, batch {base.batch_size}, one "
        f"training step with update; {comparison.rounds} rounds of all rows in turn, the median of "
        f"{base.steps} steps in each; MB an image: slope of the peak between batches of "
        f"{sizes[0]} and {sizes[1]}; peak: over the size before the first step. "
        + "".join(f"Device {device}, " for device in sorted(devices))
        + ", ".join(
            [
                f"{os.cpu_count()} cores",
                platform.machine(),
                *(f"{name} {version}" for name, version in versions.items()),
            ]
        )
        + "."
    )
    if results.is_interrupted:
        text += (
            f" Interrupted: {results.num_measured} of {results.num_planned} measurements were made."
        )
    return text
