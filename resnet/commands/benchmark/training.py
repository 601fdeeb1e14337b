"""Speed and memory of a training step."""

import dataclasses
import os
import platform
import statistics
import time

import numpy as np
import tensorflow as tf

from resnet.commands.benchmark.fresh_process import COMMAND, in_fresh_process
from resnet.commands.options import argument, resolve_jit
from resnet.configs import Config, get_config
from resnet.errors import UsageError
from resnet.models import get_model
from resnet.process_memory import peak_over, return_free_memory, size_now
from resnet.reversible import sequence
from resnet.settings import RunOptions
from resnet.training.fused import FusedUpdate, require_no_other_use_of_gradients
from resnet.training.metrics import LOSS
from resnet.training.optimizer import make_optimizer
from resnet.training.placement import place
from resnet.training.steps import Steps

LEARNING_RATE = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """What is measured.

    Attributes:
      config: a named Config, perhaps with other units.
      options: {name: value} of settings.Computation; others are the family's defaults.
      recompute_grad: whether checkpoints are TensorFlow's own, by tf.recompute_grad.
      jit: "auto", "on" or "off".
      fused_update: whether units are updated in the backward pass.
      batch_size: images a step.
      steps: steps that are timed, after the first.
    """

    config: Config
    options: dict
    recompute_grad: bool = False
    jit: str = "auto"
    fused_update: bool = False
    batch_size: int
    steps: int

    @property
    def command(self):
        """The command line that measures it in its own process."""
        settings = {
            "model": self.config.name,
            "units": self.config.units,
            **self.options,
            "recompute_grad": self.recompute_grad,
            "jit": self.jit,
            "fused_update": self.fused_update,
            "batch_size": self.batch_size,
            "steps": self.steps,
        }
        return [*COMMAND, "--in_process", *(argument(n, value) for n, value in settings.items())]


def config_with_units(name, units=None):
    """The Config of a name, with as many units in each stage if given."""
    config = get_config(name)
    return dataclasses.replace(config, units=units) if units else config


def measure_in_fresh_processes(measurement, sizes=None):
    """The benchmark's result, a dict; with two batch sizes, the slope of memory too."""
    result = in_fresh_process(measurement.command)
    if sizes:
        peaks = [_peak_at(size, measurement, result) for size in sizes]
        result["mb_per_image"] = round((peaks[1] - peaks[0]) / (sizes[1] - sizes[0]), 3)
        result["memory_slope"] = dict(zip(map(str, sizes), peaks, strict=True))
    return result


def _peak_at(size, measurement, result):
    if size == measurement.batch_size:
        return peak_of(result)
    return peak_of(in_fresh_process(dataclasses.replace(measurement, batch_size=size).command))


def peak_of(result):
    """MB of the device where it counts them, else of the process."""
    return result.get("peak_device_mb", result["peak_rss_mb"])


@dataclasses.dataclass(frozen=True)
class PreparedStep:
    """A model's step on random images, ready to be run.

    Attributes:
      placement: where.
      jit: whether XLA compiles it.
      steps: training.steps.Steps.
      arguments: what `steps.train` takes.
    """

    placement: object
    jit: bool
    steps: Steps
    arguments: tuple

    def run(self):
        """Runs it; returns the loss."""
        return float(self.steps.train(*self.arguments)[LOSS])  # waits for the device


def prepare(measurement):
    """The PreparedStep of a Measurement.

    Raises:
      UsageError: tf.recompute_grad is asked for where nothing is checkpointed.
    """
    config, batch_size = measurement.config, measurement.batch_size
    placement = place()
    jit = resolve_jit(measurement.jit, placement)
    model = get_model(config, images_at_once=batch_size, **measurement.options)
    network, computation = model.network, model.computation
    if measurement.recompute_grad:
        if not (network.family.is_reversible and computation.backprop == "checkpoint"):
            raise UsageError("--recompute_grad needs a RevNet and --backprop checkpoint")
        sequence.recompute = with_recompute_grad
    optimizer, fused = make_optimizer(model), None
    if measurement.fused_update:
        options = RunOptions(dataset="random")
        require_no_other_use_of_gradients(config, options, computation, jit, 1)
        fused = FusedUpdate(model, optimizer.update)
    steps = Steps(model, optimizer, jit=jit, fused=fused)
    rng = np.random.default_rng(1)
    shape = [batch_size, config.image_size, config.image_size, 3]
    images = tf.constant(rng.standard_normal(shape, np.float32))
    labels = tf.constant(rng.integers(0, config.num_classes, batch_size, np.int32))
    return PreparedStep(placement, jit, steps, (images, labels, tf.constant(LEARNING_RATE)))


def measure(measurement):
    """The result of measuring in this process, a dict.

    Raises:
      UsageError: as of `prepare`.
    """
    config, batch_size = measurement.config, measurement.batch_size
    step = prepare(measurement)
    placement, model, jit = step.placement, step.steps.model, step.jit
    network, computation = model.network, model.computation

    def timed_step():
        start = time.perf_counter()
        loss = step.run()
        return time.perf_counter() - start, loss

    return_free_memory()
    before = size_now()
    first, _ = timed_step()
    seconds, losses = zip(*(timed_step() for _ in range(measurement.steps)), strict=True)
    median = statistics.median(seconds)
    is_reversible = computation.backprop == "reversible"
    result = {
        "model": config.name,
        "units": list(config.units),
        "batch_size": batch_size,
        "dtype": computation.dtype,
        "backprop": computation.backprop,
        "recompute_grad": measurement.recompute_grad,
        "exact": computation.exact,
        "loop": computation.loop,
        "units_kept": [stage.num_kept for stage in network.stages] if is_reversible else None,
        "jit": jit,
        "fused_update": measurement.fused_update,
        "device": placement.devices[0],
        "images_per_second": round(batch_size / median, 1),
        "seconds_per_step": round(median, 4),
        "seconds_min_max": [round(min(seconds), 4), round(max(seconds), 4)],
        "steps": measurement.steps,
        "first_step_seconds": round(first, 2),
        "build_seconds": round(first - median, 2),
        "peak_rss_mb": round(peak_over(before), 1),
        "parameters": model.num_parameters,
        "loss": losses[-1],
        "threads": os.cpu_count(),
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
        },
    }
    if placement.uses_gpu:
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        result["peak_device_mb"] = round(peak / 2**20, 1)
    return result


def with_recompute_grad(function):
    """A pure function as `resnet.reversible.recompute` makes it, by TensorFlow's own means."""

    def recomputed(params, x):
        structure = {}

        def flat(*tensors):
            params_in, x_in = tf.nest.pack_sequence_as((params, x), tensors)
            y, structure["aux"] = function(params_in, x_in)
            return tuple(tf.nest.flatten((y, structure["aux"])))

        outputs = tf.recompute_grad(flat)(*tf.nest.flatten((params, x)))
        return tf.nest.pack_sequence_as((x, structure["aux"]), outputs)

    return recomputed
