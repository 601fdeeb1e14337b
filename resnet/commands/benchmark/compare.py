"""Ways to train one network side by side: `python -m resnet benchmark --compare`."""

import os
import pathlib
import platform
import statistics
import sys

import tensorflow as tf
from absl import flags
from tqdm import tqdm

from resnet.commands.benchmark.training import (
    MODEL_OPTIONS,
    config_of_flags,
    in_fresh_process,
    peak_of,
    slope_sizes,
)
from resnet.errors import UsageError
from resnet.table import markdown

FLAGS = flags.FLAGS

# row -> flags of the benchmark
WAYS = {
    "float32 exact, reversible": ["--loop=off"],
    "float32 exact, reversible, loop": ["--loop=on"],
    "float32 exact, stored": ["--backprop=stored"],
    "float32 exact, tf.recompute_grad": ["--backprop=checkpoint", "--recompute_grad"],
    "bfloat16 exact, reversible": ["--dtype=bfloat16", "--loop=off"],
    "bfloat16 exact, reversible, loop": ["--dtype=bfloat16", "--loop=on"],
    "bfloat16 exact, stored": ["--dtype=bfloat16", "--backprop=stored"],
}
PEER = "MemCNN, float32, reversible"
STORED = {"float32": "float32 exact, stored", "bfloat16": "bfloat16 exact, stored"}
HEADER = (
    "",
    "images/s (rounds)",
    "over MemCNN",
    "time over stored",
    "MB an image",
    "peak, MB",
    "first step, s",
)
MEMCNN_STEP = pathlib.Path(__file__).with_name("memcnn_step.py")


def compare():
    """Measures every way in turn, `--rounds` times, and its memory slope once.

    Returns:
      A Markdown table, with what it was measured on beneath.

    Raises:
      UsageError: --model is not a RevNet for CIFAR, or --memcnn_python is not there.
    """
    config, sizes = config_of_flags(), slope_sizes() or (64, 256)
    if config.family != "revnet" or config.preprocessor != "cifar":
        raise UsageError(f"--compare needs a RevNet for CIFAR, and --model is {config.name}")
    for name in (*MODEL_OPTIONS, "memory_budget"):
        if FLAGS[name].present:
            raise UsageError(f"--{name} does not go with --compare, which has rows of its own")
    if FLAGS.memcnn_python and tf.config.list_physical_devices("GPU"):
        raise UsageError(
            "--memcnn_python measures on the CPU, and TensorFlow sees a GPU: hide it with "
            "CUDA_VISIBLE_DEVICES="
        )
    measures = {name: _this_library(config, arguments) for name, arguments in WAYS.items()}
    if FLAGS.memcnn_python:
        measures[PEER] = _memcnn(config)
    found, peaks = {name: [] for name in measures}, {}
    total = len(measures) * (FLAGS.rounds + len(sizes))
    with tqdm(total=total, unit=" runs", disable=None) as progress:
        for _ in range(FLAGS.rounds):
            for name, measure in measures.items():
                found[name].append(measure(FLAGS.batch_size, FLAGS.steps))
                progress.update()
        for name, measure in measures.items():
            peaks[name] = [peak_of(measure(size, 1)) for size in sizes]
            progress.update(len(sizes))
    rows = [_row(name, found, peaks[name], sizes) for name in measures]
    return "\n".join([markdown([HEADER, *rows]), "", _provenance(config, sizes, found)])


def _this_library(config, arguments):
    def measure(batch_size, steps):
        return in_fresh_process(
            [
                *(sys.executable, "-m", "resnet.commands.benchmark", "--in_process"),
                f"--model={config.name}",
                f"--units={_joined(config.units)}",
                f"--jit={FLAGS.jit or 'auto'}",
                f"--batch_size={batch_size}",
                f"--steps={steps}",
                *arguments,
            ]
        )

    return measure


def _memcnn(config):
    python = pathlib.Path(FLAGS.memcnn_python)
    if not python.is_file():
        raise UsageError(
            f"--memcnn_python is {str(python)!r}, which does not exist: give the python of an "
            "environment with torch and memcnn"
        )

    def measure(batch_size, steps):
        return in_fresh_process(
            [
                *(str(python), "-W", "ignore", str(MEMCNN_STEP)),
                f"--block={config.block}",
                f"--units={_joined(config.units)}",
                f"--filters={_joined((config.stem_filters, *config.filters))}",
                f"--batch_size={batch_size}",
                f"--steps={steps}",
            ]
        )

    return measure


def _joined(numbers):
    return ",".join(map(str, numbers))


def _row(name, found, peaks, sizes):
    dtype = name.split(maxsplit=1)[0]
    rates = [result["images_per_second"] for result in found[name]]
    median = statistics.median
    return (
        name,
        f"{median(rates):.1f} ({min(rates):.1f}-{max(rates):.1f})",
        _ratio(found, name, PEER),
        _ratio(found, STORED[dtype], name) if dtype in STORED else "",
        f"{(peaks[1] - peaks[0]) / (sizes[1] - sizes[0]):.2f}",
        f"{median(peak_of(result) for result in found[name]):.0f}",
        f"{median(result['first_step_seconds'] for result in found[name]):.1f}",
    )


def _ratio(found, one, other):
    """Speed of one row over another's in the same round: the rounds' median, and their range."""
    if one == other or other not in found:
        return "1" if one == other else ""
    ratios = [
        a["images_per_second"] / b["images_per_second"]
        for a, b in zip(found[one], found[other], strict=True)
    ]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _provenance(config, sizes, found):
    own = found[next(iter(WAYS))][0]
    versions = own["versions"] | (found[PEER][0]["versions"] if PEER in found else {})
    return (
        f"{config.name}, units {'-'.join(map(str, config.units))}, batch {FLAGS.batch_size}, one "
        f"training step with update; {FLAGS.rounds} rounds of all rows in turn, the median of "
        f"{FLAGS.steps} steps in each; MB an image: slope of the peak between batches of "
        f"{sizes[0]} and {sizes[1]}; peak: over the size before the first step. Device "
        f"{own['device']}, {os.cpu_count()} cores, {platform.machine()}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "."
    )
