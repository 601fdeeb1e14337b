"""Measures training: speed and memory; or the speed of a data set's input.

    resnet benchmark --model revnet-110 --batch_size 128 --dtype float32 --steps 5
    resnet benchmark --data imagenet --data_dir data/imagenet
    resnet benchmark --compare --model revnet-110 --memcnn_python ENV/bin/python \\
        --revlib_python ENV/bin/python

Prints one JSON line; with --compare, a Markdown table. Nothing else should run meanwhile.

Training is measured on random images. `peak_rss_mb` is the process's peak resident
size over its size before the first step; `--memory_slope 64,256` adds `mb_per_image`,
the slope of that peak between two batch sizes, each in a process of its own.

--compare says on stderr what it measures. A row that fails leaves the others alone, and
Ctrl-C still prints what there is. MemCNN and RevLib, which need PyTorch, have an environment
of their own; one can hold both:

    python -m venv ENV && ENV/bin/pip install torch numpy tqdm revlib
    ENV/bin/pip install --no-deps memcnn

Input is measured against the bare rate of decoding the same images in full.
"""

import json
import sys

from resnet.commands.benchmark.fresh_process import MeasurementError
from resnet.commands.options import (
    define_allocator_flag,
    define_computation_flags,
    require_no,
)
from resnet.errors import UsageError, UserError
from resnet.settings import Computation, NetworkSettings, RunOptions, fields_of

ESSENTIAL = ("model", "batch_size", "steps", "dtype", "backprop", "compare")
MEASUREMENT, COMPARISON, INPUT = "Measurement", "Comparison", "Input"
PEERS = {"MemCNN": "memcnn_python", "RevLib": "revlib_python"}
OF_COMPARISON = ("rounds", *PEERS.values())
DEFAULT_SLOPE = (64, 256)  # of --compare
DEFAULT_INPUT_MODEL = "revnet-56"


def define_flags(flags):
    """Defines the command's flags."""
    flags.text("Network", "model", "Named config.", "revnet-38")
    flags.setting(fields_of(NetworkSettings)["units"], "the config's")
    define_allocator_flag(flags)
    define_computation_flags(flags)
    flags.switch(
        Computation.HEADING,
        "recompute_grad",
        "With --backprop checkpoint: by tf.recompute_grad, unit by unit.",
    )
    flags.setting(fields_of(RunOptions)["fused_update"])
    flags.integer(MEASUREMENT, "batch_size", "Images a step.", 128, low=1)
    flags.integer(MEASUREMENT, "steps", "Steps that are timed, after the first.", 5, low=1)
    flags.list(MEASUREMENT, "memory_slope", "Two batch sizes, such as 64,256.", item=int)
    flags.switch(MEASUREMENT, "in_process", "Measure in this process; used internally.")
    flags.switch(COMPARISON, "compare", "Measure ways to train --model side by side; a table.")
    flags.integer(COMPARISON, "rounds", "Rounds, each of which measures every way.", 3, low=1)
    for library, name in PEERS.items():
        flags.text(COMPARISON, name, f"Python of an environment with {library}: its rows too.")
    flags.text(INPUT, "data", "Measure this data set's input instead.", choices=["imagenet"])
    flags.text(INPUT, "data_dir", "Folder of its shards.", "./data/imagenet")


def main(flags):
    """Prints one JSON line, or a table."""
    sizes = _slope_sizes(flags.memory_slope)
    if flags.data:
        require_no(flags, [*_of_training(flags), *OF_COMPARISON, "compare"], "--data")
        from resnet.commands.benchmark.data import measure_input

        model = flags.model if flags.is_given("model") else DEFAULT_INPUT_MODEL
        print(json.dumps(measure_input(model, flags.data_dir, flags.batch_size)))
    elif flags.compare:
        _compare(flags, sizes or DEFAULT_SLOPE)
    else:
        require_no(flags, OF_COMPARISON, "a measurement without --compare")
        require_no(flags, ("data_dir",), "a measurement without --data")
        print(json.dumps(_measure(flags, sizes)))


def _of_training(flags):
    """Names of the flags of a training that is measured; the input of one has none of them."""
    of_input = ("model", "batch_size", "data", "data_dir", "allocator")
    return [n for n in flags.names() if n not in (*of_input, *OF_COMPARISON)]


def _measure(flags, sizes):
    """The result of one way to train, a dict."""
    from resnet.commands.benchmark.training import measure, measure_in_fresh_processes

    measurement = _measurement(flags)
    if flags.in_process:
        return measure(measurement)
    try:
        return measure_in_fresh_processes(measurement, sizes)
    except MeasurementError as error:
        if error.details:
            print(error.details, file=sys.stderr)
        raise


def _measurement(flags):
    from resnet.commands.benchmark.training import Measurement, config_with_units

    return Measurement(
        config=config_with_units(flags.model, flags.units),
        options=flags.given(fields_of(Computation)),
        recompute_grad=flags.recompute_grad,
        jit=flags.jit or "auto",
        fused_update=flags.fused_update or False,
        batch_size=flags.batch_size,
        steps=flags.steps,
    )


def _compare(flags, sizes):
    """Prints the table, of what was measured if not of all.

    Raises:
      UserError: a row failed.
      KeyboardInterrupt: it came while measuring.
    """
    from resnet.commands.benchmark.compare import Comparison, compare
    from resnet.commands.benchmark.report import report

    for name in (*fields_of(Computation), "recompute_grad", "fused_update", "in_process"):
        if flags.is_given(name):
            raise UsageError(f"--{name} does not go with --compare, which has rows of its own")
    peers = {library: getattr(flags, name) for library, name in PEERS.items()}
    comparison = Comparison(
        base=_measurement(flags),
        peers={library: python for library, python in peers.items() if python},
        rounds=flags.rounds,
        sizes=sizes,
    )
    results = compare(comparison)
    print(report(comparison, results), flush=True)
    if results.is_interrupted:
        raise KeyboardInterrupt
    if results.failed:
        raise UserError(f"{len(results.failed)} of {len(results.rows)} rows failed; see the table")


def _slope_sizes(sizes):
    """The two batch sizes of --memory_slope, or None.

    Raises:
      UsageError: they are not two, or do not rise.
    """
    if sizes and (len(sizes) != 2 or not 0 < sizes[0] < sizes[1]):
        raise UsageError(
            f"--memory_slope is {','.join(map(str, sizes))!r}, but must be two rising batch "
            "sizes, such as 64,256"
        )
    return sizes
