"""Why training takes the memory it takes: what is kept for the backward pass, and the peak."""

import collections
import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from resnet.process_memory import peak_over, return_free_memory, size_now
from resnet.reversible.checks import state_kept
from resnet.reversible.liveness import (
    ALIASES,
    CALLS,
    SHAPES,
    Liveness,
    called_graph,
    in_order,
    needed_operations,
    size_of,
    source_of,
)
from resnet.reversible.nest import Nest
from resnet.reversible.ordering import after
from resnet.table import aligned

MB = 2**20  # as tools that show a process's size have it
# Fitted to what processes take; docs/measurements.md has them.
BYTES_PER_OPERATION = 40_000
PROCESS_BYTES = 20 * MB

BATCH, STREAM = "batch", "stream"
INSIDE, STORED = "inside of F and G", "inside of a stored unit"
STACK = "what a loop stores"
STREAM_GRADIENT, ACTIVATION = "gradient of the stream", "activation"
WEIGHT_GRADIENT, WEIGHT_COPY = "gradient of weights", "copy of weights"
SEQUENCE_SCOPES = {"reversible", "stored", "checkpoint"}
BACKWARD = {"backward", "gradient_tape"}
PASSED_OVER = BACKWARD | SEQUENCE_SCOPES | {"while", "cond", "body", "StatefulPartitionedCall"}
READ = "read by the gradient:"  # a reason, which the operation follows
MUCH = 0.25  # a share that is worth a warning


@dataclasses.dataclass(frozen=True)
class KeptTensor:
    """A tensor in memory.

    Attributes:
      num_bytes: its size.
      name: of the operation that makes it.
      place: the stage or layer, and the unit, that make it; "" outside of all.
      kind: one of this module's, in words.
      reason: what it waits for; "" of one that is on its way.
    """

    num_bytes: int
    name: str
    place: str
    kind: str
    reason: str = ""

    @property
    def part(self) -> str:
        """The stage or layer that makes it."""
        return self.place.split("/")[0] or "elsewhere"


@dataclasses.dataclass
class MemoryReport:
    """The memory of a training step on one device.

    Attributes:
      title: of what.
      kept: [KeptTensor] that the forward pass leaves for the backward pass, largest first.
      at_peak: [KeptTensor] when tensors take most.
      moment: when that is, in words.
      weight_bytes: all variables of the model.
      optimizer_bytes: what its optimizer keeps of them.
      num_operations: of the graph.
      warnings: why memory does not go down, one sentence each.
      measured: {how: bytes of variables and of a process's growth by steps}.
    """

    title: str
    kept: list[KeptTensor]
    at_peak: list[KeptTensor]
    moment: str
    weight_bytes: int
    optimizer_bytes: int
    num_operations: int
    warnings: list[str]
    measured: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def kept_bytes(self) -> int:
        """Bytes of activations that the forward pass leaves for the backward pass."""
        return sum(t.num_bytes for t in self.kept)

    @property
    def peak_bytes(self) -> int:
        """Bytes of activations and gradients at the peak."""
        return sum(t.num_bytes for t in self.at_peak)

    @property
    def parts(self) -> dict[str, int]:
        """{what: predicted bytes of the process}, in order; their sum is `total_bytes`."""
        return {
            "weights": self.weight_bytes,
            "what the optimizer keeps": self.optimizer_bytes,
            **_sums(self.at_peak, lambda t: t.kind),
            f"graph of {self.num_operations:,} operations": (
                BYTES_PER_OPERATION * self.num_operations
            ),
            "TensorFlow's first step": PROCESS_BYTES,
        }

    @property
    def total_bytes(self) -> int:
        """Predicted bytes of variables and of the process's growth by steps."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        kept = _sums(self.kept, lambda t: (t.part, t.kind, t.reason))
        counts = collections.Counter((t.part, t.kind, t.reason) for t in self.kept)
        peak = _sums(self.at_peak, lambda t: (t.part, t.kind))
        totals = [(n, what) for what, n in self.parts.items()]
        totals.append((self.total_bytes, "in all, predicted"))
        totals += [(n, f"measured, {how}") for how, n in self.measured.items()]
        return "\n".join(
            [
                self.title,
                "",
                f"Kept for the backward pass: {_mb(self.kept_bytes)} MB",
                _table(
                    ("tensors", "made in", "kind", "why it is kept"),
                    [(n, str(counts[key]), *key) for key, n in kept.items()],
                ),
                "",
                f"At the peak, {self.moment}: {_mb(self.peak_bytes)} MB",
                _table(("made in", "kind"), [(n, *key) for key, n in peak.items()]),
                "",
                "The process",
                _table(("of what",), totals),
                *(f"\nwarning: {text}" for text in self.warnings),
            ]
        )


def memory_report(
    layer: keras.layers.Layer, x: Nest, measure: bool = False, **arguments: Any
) -> MemoryReport:
    """What a training step of a layer or model of your own keeps in memory, and why.

    The step is traced: forward in training mode, and the gradients of all weights. An optimizer's
    variables are counted if the model is compiled with one and built.

    Args:
      layer: a Keras layer or model; it is built if it is not.
      x: its input, a nest of tensors or arrays; values do not matter.
      measure: whether the step is run too, twice, and this process's growth measured. A process
        that has freed memory before grows less; TensorFlow's pool keeps more than tensors need.
      **arguments: what a call takes beside x.

    Returns:
      MemoryReport; str() of it is a text.

    Raises:
      TypeError: no layer.
    """
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            f"{layer!r} is no Keras layer or model: for a named network, give a resnet.Classifier "
            "or run `resnet memory --model NAME`"
        )
    x = tf.nest.map_structure(tf.convert_to_tensor, x)
    with state_kept(layer, x, arguments):
        trained = [v.value for v in layer.trainable_variables]

        def step(x: Nest) -> list[Any]:
            with tf.GradientTape() as tape:
                outputs = tf.nest.flatten(layer(x, training=True, **arguments))
                loss = tf.add_n([tf.reduce_sum(tf.cast(y, tf.float32)) for y in outputs])
            # That of a loss, but of a sum, waits for its value.
            return tape.gradient(loss, trained, output_gradients=after(loss, tf.constant(1.0)))

        compiled = tf.function(step, autograph=False)
        measured = {}
        if measure:
            return_free_memory()
            before = size_now()
            for _ in range(2):
                compiled(x)
            measured["here"] = round(peak_over(before) * MB)
        graph = compiled.get_concrete_function(x).graph
    variables = [v.value for v in layer.variables]
    measured = {how: size + _bytes_of(variables) for how, size in measured.items()}
    optimizer = getattr(layer, "optimizer", None)
    slots = [v.value for v in getattr(optimizer, "variables", [])]
    shape = ", ".join(str(tuple(t.shape)) for t in tf.nest.flatten(x))
    return report_of_graph(
        f"{layer.name}, input {shape}",
        graph,
        batch=graph.inputs[: len(tf.nest.flatten(x))],
        variables=variables,
        slots=slots,
        root=layer.name,
        measured=measured,
    )


def report_of_graph(
    title: str,
    graph: tf.Graph,
    batch: Sequence[tf.Tensor],
    variables: Iterable[tf.Variable],
    slots: Iterable[Any],
    root: str = "",
    measured: dict[str, int] | None = None,
) -> MemoryReport:
    """The MemoryReport of a traced training step.

    Args:
      title: of what.
      graph: FuncGraph of one device's step.
      batch: those of its inputs that are not variables.
      variables: of the model.
      slots: variables that its optimizer keeps.
      root: name of the whole model, with which the names of operations may begin.
      measured: see MemoryReport.
    """
    variables = list(variables)
    return _Reading(graph, batch, variables, root).report(
        title, _bytes_of(variables), _bytes_of(slots), measured or {}
    )


class _Reading:
    """What a graph says of its memory."""

    def __init__(
        self, graph: tf.Graph, batch: Sequence[tf.Tensor], variables: list[tf.Variable], root: str
    ) -> None:
        self.graph, self.is_compiled, self.root = graph, False, root
        called = [op for op in graph.get_operations() if op.type in CALLS]
        if len(called) == 1 and _is_xla(called[0]):  # the whole step: look inside
            self.is_compiled = True
            inner = called_graph(graph, called[0])
            inputs = {t.name: i for t, i in zip(called[0].inputs, inner.inputs, strict=True)}
            self.graph, batch = inner, [inputs.get(t.name, t) for t in batch]
        self.is_compiled |= any(map(_is_xla, called))
        self.batch = {t.name for t in batch}
        self.shapes = {tuple(v.shape) for v in variables if v.shape.rank}
        self.liveness = Liveness(self.graph, batch)
        operations = needed_operations(self.graph)
        first = next((i for i, op in enumerate(operations) if _is_backward(op.name)), None)
        self.forward = {op.name for op in operations[:first]}
        self.backward = [] if first is None else operations[first:]

    def report(
        self, title: str, weights: int, optimizer: int, measured: dict[str, int]
    ) -> MemoryReport:
        readers = self._readers()
        kept = [
            dataclasses.replace(self._kept(t, self._size(t)), reason=self._reason(t, ops))
            for t, ops in readers.values()
        ]
        moment = self.liveness.moment
        found = MemoryReport(
            title,
            sorted(kept, key=lambda t: -t.num_bytes),
            sorted(
                (self._kept(v.tensor, v.num_bytes) for v in self.liveness.at_peak if v.num_bytes),
                key=lambda t: -t.num_bytes,
            ),
            self._moment(moment) if moment else "",
            weights,
            optimizer,
            self.liveness.num_operations,
            [],
            measured,
        )
        outside = self._read_outside(found, readers)
        found.warnings = [
            *self._stored(found, outside),
            *outside.values(),
            *self._early(found),
            *self._compiled(),
            *self._open_loops(),
            *_too_small(found),
        ]
        return found

    def _readers(self) -> dict[str, tuple[tf.Tensor, list[tf.Operation]]]:
        """{name: (tensor of the forward pass, operations of the backward pass that read it)}."""
        found: dict[str, tuple[tf.Tensor, list[tf.Operation]]] = {}
        for op in self.backward:
            if op.type in ALIASES | SHAPES:
                continue
            for tensor in map(source_of, op.inputs):
                is_value = tensor.op.type not in {"Const", *SHAPES}
                if tensor.op.name in self.forward and is_value and self._size(tensor):
                    found.setdefault(tensor.name, (tensor, []))[1].append(op)
        return found

    def _place(self, name: str) -> str:
        return place_of(name, self.root)

    def _size(self, tensor: tf.Tensor) -> int:
        return self.liveness.stacks.get(tensor.name) or size_of(tensor)

    def _kept(self, tensor: tf.Tensor, num_bytes: int) -> KeptTensor:
        name = tensor.op.name
        place, kind = self._place(name), self._kind(tensor)
        return KeptTensor(num_bytes, name, place, kind)

    def _kind(self, tensor: tf.Tensor) -> str:
        name, shape = tensor.op.name, tuple(tensor.shape) if tensor.shape.rank else ()
        scopes = name.split("/")
        is_backward = _is_backward(name) or (
            tensor.graph is self.graph and name not in self.forward
        )
        if tensor.name in self.batch:
            return BATCH
        if shape in self.shapes or tensor.op.type == "TensorListReserve":
            return WEIGHT_GRADIENT if is_backward else WEIGHT_COPY
        if tensor.name in self.liveness.stacks or tensor.op.type == "EmptyTensorList":
            return STACK
        if {"f", "g"} & set(scopes[:-1]):
            return STORED if "stored" in scopes else INSIDE
        if any(scope.startswith("unit_") for scope in scopes):
            is_gradient = "gradient_tape" in scopes or scopes[-1].startswith("gradient")
            return STREAM_GRADIENT if is_gradient else STREAM
        return ACTIVATION

    def _moment(self, op: tf.Operation) -> str:
        where = self._place(op.name) or "outside of all layers"
        is_backward = _is_backward(op.name) or op.name not in self.forward
        return f"in the {'backward' if is_backward else 'forward'} pass of {where} ({op.type})"

    def _reason(self, tensor: tf.Tensor, readers: list[tf.Operation]) -> str:
        if self._kind(tensor) == WEIGHT_COPY:
            return "as F and G take them"
        own = self._place(tensor.op.name)
        sequences = [op for op in readers if "backward" in op.name.split("/")]
        if not sequences:
            return f"{READ} {readers[0].type}"
        scope = _scope_of(sequences[0].name)
        if "checkpoint" in sequences[0].name.split("/"):
            return "a unit's input, from which it is computed again"
        if "reversible" not in sequences[0].name.split("/"):
            return "what is computed again begins with it"
        if own and _scope_of(tensor.op.name) == scope:
            return "output of a sequence, from which the rest is restored"
        return "input of a unit without inverse"

    # ------------------------------------------------------------------ culprits

    def _stored(self, found: MemoryReport, others: Iterable[str]) -> Iterable[str]:
        """Layers that store their activations, if they keep much."""
        kept = [
            t
            for t in found.kept
            if t.kind in (STACK, STORED, INSIDE, ACTIVATION, STREAM)
            and t.reason.startswith(READ)
            and t.name not in others
        ]
        for part, size in _sums(kept, lambda t: t.part).items():
            if size > MUCH * found.kept_bytes and size > MB:
                is_sequence = any("stored" in t.name.split("/") for t in kept if t.part == part)
                why = (
                    "some of its units are stored: by backprop='stored' or a memory budget, or, as "
                    "this package's networks do, where that does not raise the peak"
                    if is_sequence
                    else "it is not part of a reversible sequence"
                )
                yield (
                    f"{part} keeps {_mb(size)} of {_mb(found.kept_bytes)} MB for the backward "
                    f"pass: {why}"
                )

    def _read_outside(
        self, found: MemoryReport, readers: dict[str, tuple[tf.Tensor, list[tf.Operation]]]
    ) -> dict[str, str]:
        """{name: warning} of what sequences restore and others read in their backward pass."""
        warnings = {}
        forward = [op for op in self.graph.get_operations() if op.name in self.forward]
        scopes = {_scope_of(op.name) for op in forward if "reversible" in op.name.split("/")}
        restored = {
            source_of(tensor).name: scope
            for op in forward
            for scope in scopes
            if scope and op.name.startswith(f"{scope}/")
            for tensor in op.inputs
        }
        for name, (tensor, ops) in readers.items():
            scope, own = restored.get(name), self._place(tensor.op.name)
            is_kept = any(scope == _scope_of(op.name) for op in ops)  # by the sequence itself
            outside = [op for op in ops if own != self._place(op.name)]
            if scope and outside and not is_kept and size_of(tensor) > MUCH * found.kept_bytes:
                reader = self._place(outside[0].name) or outside[0].name
                warnings[tensor.op.name] = (
                    f"{tensor.op.name} ({_mb(size_of(tensor))} MB) is what {scope} restores, and "
                    f"{reader} outside of it reads it in its backward pass: it is kept all the same"
                )
        return warnings

    def _early(self, found: MemoryReport) -> Iterable[str]:
        """What the backward pass computes before the forward pass has ended."""
        order = list(in_order(needed_operations(self.graph)))
        names = {op.name for op in self.backward}
        # Nothing waits for the head and the loss: half of the forward pass is well before.
        made = np.cumsum(
            [sum(map(size_of, op.outputs)) * (op.name in self.forward) for op in order]
        )
        end = int(np.searchsorted(made, made[-1] / 2))
        idle = ALIASES | {"TensorListReserve"}
        early = [op for op in order[:end] if op.name in names and op.type not in idle]
        size = sum(size_of(t) for op in early for t in op.outputs)
        if size > MUCH * found.peak_bytes and size > MB:
            first = max(early, key=lambda op: sum(map(size_of, op.outputs)))
            yield (
                f"{first.name} and others of the backward pass ({_mb(size)} MB) wait for no "
                "gradient: they run with the forward pass or are merged with it, and stay in "
                "memory. Give them their inputs by reversible.after(dy, x)"
            )

    def _open_loops(self) -> Iterable[str]:
        if self.liveness.has_open_loops:
            yield (
                "a loop's rounds are not known when it is traced: what it stores is counted short. "
                "Give tf.while_loop its maximum_iterations"
            )

    def _compiled(self) -> Iterable[str]:
        if self.is_compiled and not tf.config.list_physical_devices("GPU"):
            yield (
                "XLA compiles the step: on a CPU it orders operations anew, and activations are "
                "recomputed without being freed. Leave jit_compile (--jit) off there"
            )


def _too_small(found: MemoryReport) -> Iterable[str]:
    """A batch whose activations are little of what is needed in all."""
    activations = sum(
        t.num_bytes for t in found.at_peak if t.kind not in (WEIGHT_GRADIENT, WEIGHT_COPY)
    )
    if activations < MUCH * found.total_bytes:
        yield (
            f"the batch is too small to matter: its activations take {_mb(activations)} of "
            f"{_mb(found.total_bytes)} MB; the rest does not depend on it"
        )


def place_of(name: str, root: str = "") -> str:
    """The layer and unit that an operation's name tells of: "stage_1/unit_2"; "" if none."""
    scopes = [
        scope
        for scope in name.split("/")[:-1]
        if re.sub(r"_\d+$", "", scope) not in PASSED_OVER and scope
    ]
    if root and scopes and re.fullmatch(rf"{re.escape(root)}(_\d+)?", scopes[0]):
        scopes = scopes[1:]
    for end, scope in enumerate(scopes):
        if scope in ("f", "g"):
            return "/".join(scopes[:end])
    return "/".join(scopes)


def _scope_of(name: str) -> str:
    """The sequence that an operation belongs to; "" if to none."""
    scopes = _without_backward(name).split("/")[:-1]
    for end, scope in enumerate(scopes):
        if scope in SEQUENCE_SCOPES:
            return "/".join(scopes[:end])
    return ""


def _without_backward(name: str) -> str:
    return "/".join(scope for scope in name.split("/") if scope not in BACKWARD)


def _is_backward(name: str) -> bool:
    return not BACKWARD.isdisjoint(name.split("/"))


def _is_xla(op: tf.Operation) -> bool:
    try:
        return bool(op.get_attr("_XlaMustCompile"))
    except ValueError:
        return False


def _bytes_of(variables: Iterable[Any]) -> int:
    return sum(v.shape.num_elements() * v.dtype.size for v in variables)


def _sums(tensors: Iterable[KeptTensor], key: Callable[[KeptTensor], Any]) -> dict[Any, int]:
    """{key of a tensor: bytes}, most first."""
    found: collections.Counter[Any] = collections.Counter()
    for tensor in tensors:
        found[key(tensor)] += tensor.num_bytes
    return dict(found.most_common())


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Lines of (bytes, texts...), without those that would show as 0.0 MB."""
    shown = [[_mb(size), *texts] for size, *texts in rows if size >= MB / 20]
    return aligned([["MB", *header], *shown], right=(0,))


def _mb(count: int) -> str:
    return f"{count / MB:,.1f}"
