"""Speed and memory of a training step, each configuration in a fresh process."""

import dataclasses
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf
from absl import flags

from resnet.commands.flags import resolve_jit
from resnet.configs import get_config
from resnet.errors import UsageError, UserError
from resnet.models import get_model
from resnet.process_memory import peak_over, size_now
from resnet.reversible import sequence
from resnet.training.optimizer import Momentum
from resnet.training.placement import place
from resnet.training.steps import Steps

FLAGS = flags.FLAGS
LEARNING_RATE = 0.01
MODEL_OPTIONS = ("backprop", "dtype", "exact", "loop")
PASSED_ON = ("model", "units", *MODEL_OPTIONS, "memory_budget", "recompute_grad", "jit", "steps")


def measure_training():
    """The benchmark's result for the flags, a dict."""
    config = config_of_flags()
    if FLAGS.in_process:
        return _measure(config)
    sizes = slope_sizes()
    result = _these_flags(FLAGS.batch_size)
    if sizes:
        peaks = [
            peak_of(result if size == FLAGS.batch_size else _these_flags(size)) for size in sizes
        ]
        result["mb_per_image"] = round((peaks[1] - peaks[0]) / (sizes[1] - sizes[0]), 3)
        result["memory_slope"] = dict(zip(map(str, sizes), peaks, strict=True))
    return result


def slope_sizes():
    """The two batch sizes of --memory_slope, or None."""
    sizes = _integers("memory_slope") if FLAGS.memory_slope else None
    if sizes and (len(sizes) != 2 or not 0 < sizes[0] < sizes[1]):
        raise UsageError(
            f"--memory_slope is {','.join(FLAGS.memory_slope)!r}, but must be two rising "
            "batch sizes, such as 64,256"
        )
    return sizes


def peak_of(result):
    """MB of the device where it counts them, else of the process."""
    return result.get("peak_device_mb", result["peak_rss_mb"])


def _integers(flag):
    try:
        return tuple(int(value) for value in FLAGS[flag].value)
    except ValueError:
        raise UsageError(f"--{flag} is {FLAGS[flag].value}, but must be integers") from None


def _these_flags(batch_size):
    """The measurement of these flags with another batch size, as a dict."""
    passed = [flag.serialize() for name in PASSED_ON if (flag := FLAGS[name]).present]
    command = [sys.executable, "-m", "resnet.commands.benchmark", "--in_process", *passed]
    command.append(f"--batch_size={batch_size}")
    return in_fresh_process(command)


def in_fresh_process(command):
    """The JSON line that a command prints, as a dict."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"a measurement failed (see above): {shlex.join(command)}")
    return json.loads(done.stdout.splitlines()[-1])


def config_of_flags():
    """The Config of --model and --units."""
    config = get_config(FLAGS.model)
    return dataclasses.replace(config, units=_integers("units")) if FLAGS.units else config


def _measure(config):
    placement = place()
    jit = resolve_jit(FLAGS.jit or "auto", placement)
    options = {n: FLAGS[n].value for n in MODEL_OPTIONS if FLAGS[n].value is not None}
    if FLAGS.recompute_grad and (config.family, FLAGS.backprop) != ("revnet", "checkpoint"):
        raise UsageError("--recompute_grad needs a RevNet and --backprop checkpoint")
    if FLAGS.recompute_grad:
        sequence.recompute = with_recompute_grad
    budget = (FLAGS.memory_budget or 0) / FLAGS.batch_size
    model = get_model(config, **options, extra_bytes=budget)
    optimizer = Momentum(model.trainable_by_storage_name, config.momentum, config.nesterov)
    steps = Steps(model, optimizer, jit=jit)
    rng = np.random.default_rng(1)
    shape = [FLAGS.batch_size, config.image_size, config.image_size, 3]
    images = tf.constant(rng.standard_normal(shape, np.float32))
    labels = tf.constant(rng.integers(0, config.num_classes, FLAGS.batch_size, np.int32))
    rate = tf.constant(LEARNING_RATE)

    def timed_step():
        start = time.perf_counter()
        loss = float(steps.train(images, labels, rate)["loss"])  # waits for the device
        return time.perf_counter() - start, loss

    before = size_now()
    first, _ = timed_step()
    seconds, losses = zip(*(timed_step() for _ in range(FLAGS.steps)), strict=True)
    median = statistics.median(seconds)
    is_reversible = model.backprop == "reversible"
    result = {
        "model": config.name,
        "units": list(config.units),
        "batch_size": FLAGS.batch_size,
        "dtype": model.dtype,
        "backprop": model.backprop,
        "recompute_grad": FLAGS.recompute_grad,
        "exact": model.exact,
        "loop": model.loop,
        "units_kept": [stage.num_kept for stage in model.stages] if is_reversible else None,
        "jit": jit,
        "device": placement.devices[0],
        "images_per_second": round(FLAGS.batch_size / median, 1),
        "seconds_per_step": round(median, 4),
        "seconds_min_max": [round(min(seconds), 4), round(max(seconds), 4)],
        "steps": FLAGS.steps,
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
