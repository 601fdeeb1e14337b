"""Explains the memory of a training step: what is kept for the backward pass, and the peak.

    resnet memory --model revnet-110 --batch_size 128
    resnet memory --model revnet-110 --batch_size 128 --backprop stored --nomeasure

Lists the tensors that wait for the backward pass, by stage and kind, and why; those at the moment
when most is in memory; and, beside weights, pool and graph, the total that is predicted for the
process. Processes of their own measure what it is, twice: with an allocator that gives all memory
back at once, so that they take what tensors need, and with TensorFlow's, whose pool keeps more.
Warnings name what keeps memory from going down. For networks of your own,
resnet.reversible.memory_report does the same in Python.
"""

from resnet.commands.allocator import environment_of
from resnet.commands.options import define_computation_flags
from resnet.settings import Computation, NetworkSettings, RunOptions, fields_of

ESSENTIAL = ("model", "batch_size", "dtype", "backprop", "measure")
STEPS = 2
# How a process measures -> its allocator.
WAYS = {"given back at once": "glibc", "with TensorFlow's pool": None}


def define_flags(flags):
    """Defines the command's flags."""
    flags.text("Network", "model", "Named config.", "revnet-38")
    flags.setting(fields_of(NetworkSettings)["units"], "the config's")
    define_computation_flags(flags)
    flags.setting(fields_of(RunOptions)["fused_update"])
    flags.integer("Measurement", "batch_size", "Images that are at once on a device.", 128, low=1)
    flags.switch("Measurement", "measure", "Run steps, too, in processes of their own.", True)


def main(flags):
    """Prints the report."""
    from resnet.commands.benchmark.fresh_process import in_fresh_process
    from resnet.commands.benchmark.training import (
        Measurement,
        config_with_units,
        peak_of,
        prepare,
    )
    from resnet.training.step_memory import step_report

    measurement = Measurement(
        config=config_with_units(flags.model, flags.units),
        options=flags.given(fields_of(Computation)),
        jit=flags.jit or "auto",
        fused_update=flags.fused_update or False,
        batch_size=flags.batch_size,
        steps=STEPS,
    )
    steps = prepare(measurement).steps
    report = step_report(steps, flags.batch_size)
    variables = report.weight_bytes + report.optimizer_bytes
    for way, allocator in WAYS.items() if flags.measure else ():
        environment = environment_of(allocator) if allocator else {}
        result = in_fresh_process(measurement.command, environment)
        # A process's peak is over its size before the first step; a GPU's has all in it.
        beside = 0 if "peak_device_mb" in result else variables
        report.measured[way] = beside + round(peak_of(result) * 2**20)
    print(report)
