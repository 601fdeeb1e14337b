"""Ways to train one network, measured side by side."""

import dataclasses
import pathlib
import sys
from collections.abc import Callable

import tensorflow as tf

from resnet.commands.benchmark.fresh_process import MeasurementError, in_fresh_process
from resnet.commands.benchmark.training import Measurement, peak_of
from resnet.errors import UsageError
from resnet.models.families import family_of

# row -> what it changes of a Measurement
WAYS = {
    "float32 exact, reversible": {"options": {"loop": "off"}},
    "float32 exact, reversible, loop": {"options": {"loop": "on"}},
    "float32 exact, stored": {"options": {"backprop": "stored"}},
    "float32 exact, tf.recompute_grad": {
        "options": {"backprop": "checkpoint"},
        "recompute_grad": True,
    },
    "bfloat16 exact, reversible": {"options": {"dtype": "bfloat16", "loop": "off"}},
    "bfloat16 exact, reversible, loop": {"options": {"dtype": "bfloat16", "loop": "on"}},
    "bfloat16 exact, stored": {"options": {"dtype": "bfloat16", "backprop": "stored"}},
}
# Other libraries: the file that measures one step, and its types. MemCNN has float32 only.
PEERS = {
    "MemCNN": ("memcnn_step.py", ("float32",)),
    "RevLib": ("revlib_step.py", ("float32", "bfloat16")),
}


def peer_row(library, dtype):
    """Name of another library's row."""
    return f"{library}, {dtype}, reversible"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
      base: Measurement, of which every way is a variation.
      peers: {one of PEERS: path of a Python that has it}.
      rounds: how often every row is measured, in turn.
      sizes: two batch sizes, between which the slope of memory is taken.
    """

    base: Measurement
    peers: dict
    rounds: int
    sizes: tuple


@dataclasses.dataclass
class Results:
    """What has been measured so far.

    Attributes:
      rows: names of all rows.
      found: {row: results of its rounds}.
      peaks: {row: {batch size: MB}}.
      failed: {row: why, in one line}; nothing more is measured of these.
      num_measured, num_planned: measurements.
      is_interrupted: whether Ctrl-C ended it.
    """

    rows: list
    found: dict = dataclasses.field(default_factory=dict)
    peaks: dict = dataclasses.field(default_factory=dict)
    failed: dict = dataclasses.field(default_factory=dict)
    num_measured: int = 0
    num_planned: int = 0
    is_interrupted: bool = False


@dataclasses.dataclass(frozen=True)
class _Task:
    """One measurement: of a row, with a batch of some size."""

    row: str
    part: str  # what of the comparison it belongs to, in words
    batch_size: int
    steps: int
    keep: Callable  # what takes its result


def compare(comparison):
    """Measures every way in turn, round by round, and its memory once.

    Says on stderr what it measures. A row that fails is left out from then on; after
    Ctrl-C the results are those so far.

    Returns:
      Results.

    Raises:
      UsageError: the network is not a RevNet for CIFAR, or a peer's Python is not there.
    """
    _check(comparison)
    commands = _commands(comparison)
    results = Results(list(commands))
    tasks = _tasks(comparison, results)
    results.num_planned = len(tasks)
    try:
        for number, task in enumerate(tasks, 1):
            if task.row not in results.failed:
                _say(f"[{number}/{len(tasks)}] {task.part}: {task.row}: ", end="")
                _say(_measure(task, commands[task.row], results))
    except KeyboardInterrupt:
        results.is_interrupted = True
        _say("interrupted")
    return results


def _tasks(comparison, results):
    base, sizes = comparison.base, comparison.sizes
    tasks = []
    for i in range(comparison.rounds):
        part = f"round {i + 1} of {comparison.rounds}"
        for row in results.rows:
            keep = results.found.setdefault(row, []).append
            tasks.append(_Task(row, part, base.batch_size, base.steps, keep))
    for row in results.rows:
        for size in sizes:

            def keep(result, row=row, size=size):
                results.peaks.setdefault(row, {})[size] = peak_of(result)

            tasks.append(_Task(row, f"memory of a batch of {size}", size, 1, keep))
    return tasks


def _measure(task, command, results):
    """Measures, and returns what to say of it."""
    try:
        result = in_fresh_process(command(task.batch_size, task.steps))
    except (MeasurementError, OSError) as error:
        results.failed[task.row] = getattr(error, "reason", str(error))
        details = getattr(error, "details", "")
        return f"failed: {results.failed[task.row]}" + (f"\n{details}" if details else "")
    task.keep(result)
    results.num_measured += 1
    return f"{result['images_per_second']} images/s, {peak_of(result):.0f} MB"


def _say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


def _commands(comparison):
    """{row: (batch_size, steps) -> the command line that measures it}."""

    def own(changes):
        way = dataclasses.replace(comparison.base, **changes)
        return lambda batch_size, steps: (
            dataclasses.replace(way, batch_size=batch_size, steps=steps).command
        )

    commands = {name: own(changes) for name, changes in WAYS.items()}
    for library, python in comparison.peers.items():
        step, dtypes = PEERS[library]
        for dtype in dtypes:
            commands[peer_row(library, dtype)] = _peer(python, step, comparison.base.config, dtype)
    return commands


def _peer(python, step, config, dtype):
    network = {
        "block": config.block,
        "units": config.units,
        "filters": (config.stem_filters, *config.filters),
        "strides": config.strides,
        "image_size": config.image_size,
        "num_classes": config.num_classes,
    }
    flags = [
        f"--{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in network.items()
    ]
    start = [python, "-W", "ignore", str(pathlib.Path(__file__).with_name(step))]
    return lambda batch_size, steps: [
        *start,
        *flags,
        f"--dtype={dtype}",
        f"--batch_size={batch_size}",
        f"--steps={steps}",
    ]


def _check(comparison):
    config = comparison.base.config
    if not family_of(config).is_reversible or config.preprocessor != "cifar":
        raise UsageError(f"--compare needs a RevNet for CIFAR, and --model is {config.name}")
    for library, python in comparison.peers.items():
        flag = f"--{library.lower()}_python"
        if not pathlib.Path(python).is_file():
            raise UsageError(
                f"{flag} is {python!r}, which does not exist: give the python of an "
                f"environment with torch and {library}"
            )
        if tf.config.list_physical_devices("GPU"):
            raise UsageError(
                f"{flag} measures on the CPU, and TensorFlow sees a GPU: hide it with "
                "CUDA_VISIBLE_DEVICES="
            )
