"""Why the memory of a training step does not go down: warnings, one sentence each."""

from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from resnet.reversible.graph_memory import (
    ACTIVATION,
    INSIDE,
    READ,
    STACK,
    STORED,
    STREAM,
    WEIGHT_COPY,
    WEIGHT_GRADIENT,
    GraphMemory,
)
from resnet.reversible.liveness import ALIASES, in_order, needed_operations, size_of, source_of
from resnet.reversible.memory_figures import MB, MemoryReport, in_mb, sums_of
from resnet.reversible.operation_names import scope_of

MUCH = 0.25  # a share that is worth a warning


def culprits(memory: GraphMemory, report: MemoryReport) -> list[str]:
    """Warnings of a step.

    Args:
      memory: of its graph.
      report: its figures.
    """
    outside = _read_outside(memory, report)
    return [
        *_stored(report, outside),
        *outside.values(),
        *_early(memory, report),
        *_compiled(memory),
        *_open_loops(memory),
        *_too_small(report),
    ]


def _stored(report: MemoryReport, others: Iterable[str]) -> Iterator[str]:
    """Layers that store their activations, if they keep much."""
    kept = [
        t
        for t in report.kept
        if t.kind in (STACK, STORED, INSIDE, ACTIVATION, STREAM)
        and t.reason.startswith(READ)
        and t.name not in others
    ]
    for part, size in sums_of(kept, lambda t: t.part).items():
        if size > MUCH * report.kept_bytes and size > MB:
            is_sequence = any("stored" in t.name.split("/") for t in kept if t.part == part)
            why = (
                "some of its units are stored: by backprop='stored' or a memory budget, or, as "
                "this package's networks do, where that does not raise the peak"
                if is_sequence
                else "it is not part of a reversible sequence"
            )
            yield (
                f"{part} keeps {in_mb(size)} of {in_mb(report.kept_bytes)} MB for the backward "
                f"pass: {why}"
            )


def _read_outside(memory: GraphMemory, report: MemoryReport) -> dict[str, str]:
    """{name: warning} of what sequences restore and others read in their backward pass."""
    warnings = {}
    forward = [op for op in memory.graph.get_operations() if op.name in memory.forward]
    scopes = {scope_of(op.name) for op in forward if "reversible" in op.name.split("/")}
    restored = {
        source_of(tensor).name: scope
        for op in forward
        for scope in scopes
        if scope and op.name.startswith(f"{scope}/")
        for tensor in op.inputs
    }
    for name, (tensor, ops) in memory.readers.items():
        scope, own = restored.get(name), memory.place(tensor.op.name)
        is_kept = any(scope == scope_of(op.name) for op in ops)  # by the sequence itself
        outside = [op for op in ops if own != memory.place(op.name)]
        if scope and outside and not is_kept and size_of(tensor) > MUCH * report.kept_bytes:
            reader = memory.place(outside[0].name) or outside[0].name
            warnings[tensor.op.name] = (
                f"{tensor.op.name} ({in_mb(size_of(tensor))} MB) is what {scope} restores, and "
                f"{reader} outside of it reads it in its backward pass: it is kept all the same"
            )
    return warnings


def _early(memory: GraphMemory, report: MemoryReport) -> Iterator[str]:
    """What the backward pass computes before the forward pass has ended."""
    order = list(in_order(needed_operations(memory.graph)))
    names = {op.name for op in memory.backward}
    # Nothing waits for the head and the loss: half of the forward pass is well before.
    made = np.cumsum([_bytes_made(op) * (op.name in memory.forward) for op in order])
    end = int(np.searchsorted(made, made[-1] / 2))
    idle = ALIASES | {"TensorListReserve"}
    early = [op for op in order[:end] if op.name in names and op.type not in idle]
    size = sum(map(_bytes_made, early))
    if size > MUCH * report.peak_bytes and size > MB:
        first = max(early, key=_bytes_made)
        yield (
            f"{first.name} and others of the backward pass ({in_mb(size)} MB) wait for no "
            "gradient: they run with the forward pass or are merged with it, and stay in "
            "memory. Give them their inputs by reversible.after(dy, x)"
        )


def _bytes_made(op: tf.Operation) -> int:
    return sum(map(size_of, op.outputs))


def _open_loops(memory: GraphMemory) -> Iterator[str]:
    if memory.liveness.has_open_loops:
        yield (
            "a loop's rounds are not known when it is traced: what it stores is counted short. "
            "Give tf.while_loop its maximum_iterations"
        )


def _compiled(memory: GraphMemory) -> Iterator[str]:
    if memory.is_compiled and not tf.config.list_physical_devices("GPU"):
        yield (
            "XLA compiles the step: on a CPU it orders operations anew, and activations are "
            "recomputed without being freed. Leave jit_compile (--jit) off there"
        )


def _too_small(report: MemoryReport) -> Iterator[str]:
    """A batch whose activations are little of what is needed in all."""
    activations = sum(
        t.num_bytes for t in report.at_peak if t.kind not in (WEIGHT_GRADIENT, WEIGHT_COPY)
    )
    if activations < MUCH * report.total_bytes:
        yield (
            f"the batch is too small to matter: its activations take {in_mb(activations)} of "
            f"{in_mb(report.total_bytes)} MB; the rest does not depend on it"
        )
