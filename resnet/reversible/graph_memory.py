"""What a traced training step says of its memory: what is kept, and why."""

import dataclasses
from collections.abc import Iterable, Sequence

import tensorflow as tf

from resnet.reversible.liveness import (
    ALIASES,
    CALLS,
    SHAPES,
    Liveness,
    called_graph,
    needed_operations,
    size_of,
    source_of,
)
from resnet.reversible.memory_figures import KeptTensor
from resnet.reversible.operation_names import is_backward, place_of, scope_of

BATCH, STREAM = "batch", "stream"
INSIDE, STORED = "inside of F and G", "inside of a stored unit"
STACK = "what a loop stores"
STREAM_GRADIENT, ACTIVATION = "gradient of the stream", "activation"
WEIGHT_GRADIENT, WEIGHT_COPY = "gradient of weights", "copy of weights"
READ = "read by the gradient:"  # a reason, which the operation follows

Readers = dict[str, tuple[tf.Tensor, list[tf.Operation]]]


class GraphMemory:
    """What a traced training step keeps in memory.

    Attributes:
      graph: FuncGraph of the step, or of what XLA compiles of it if that is all.
      is_compiled: whether XLA compiles any of it.
      liveness: Liveness of the graph's tensors.
      forward: names of the forward pass's operations.
      backward: operations of the backward pass, in the order in which they were made.
      readers: {name: (tensor of the forward pass, operations of the backward pass that read it)}.
    """

    def __init__(
        self,
        graph: tf.Graph,
        batch: Sequence[tf.Tensor],
        variables: Iterable[tf.Variable],
        root: str = "",
    ) -> None:
        """Reads a graph; see `memory_reports.report_of_graph` for the arguments."""
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
        first = next((i for i, op in enumerate(operations) if is_backward(op.name)), None)
        self.forward = {op.name for op in operations[:first]}
        self.backward = [] if first is None else operations[first:]
        self.readers = self._readers()

    def kept(self) -> list[KeptTensor]:
        """What the forward pass leaves for the backward pass, largest first."""
        return _largest_first(
            dataclasses.replace(self._kept(t, self._size(t)), reason=self._reason(t, ops))
            for t, ops in self.readers.values()
        )

    def at_peak(self) -> list[KeptTensor]:
        """What is in memory when tensors take most, largest first."""
        return _largest_first(
            self._kept(v.tensor, v.num_bytes) for v in self.liveness.at_peak if v.num_bytes
        )

    def moment(self) -> str:
        """When that is, in words."""
        op = self.liveness.moment
        if op is None:
            return ""
        where = self.place(op.name) or "outside of all layers"
        goes_back = is_backward(op.name) or op.name not in self.forward
        return f"in the {'backward' if goes_back else 'forward'} pass of {where} ({op.type})"

    def place(self, name: str) -> str:
        """The layer and unit that an operation's name tells of."""
        return place_of(name, self.root)

    def _readers(self) -> Readers:
        found: Readers = {}
        for op in self.backward:
            if op.type in ALIASES | SHAPES:
                continue
            for tensor in map(source_of, op.inputs):
                is_value = tensor.op.type not in {"Const", *SHAPES}
                if tensor.op.name in self.forward and is_value and self._size(tensor):
                    found.setdefault(tensor.name, (tensor, []))[1].append(op)
        return found

    def _size(self, tensor: tf.Tensor) -> int:
        return self.liveness.stacks.get(tensor.name) or size_of(tensor)

    def _kept(self, tensor: tf.Tensor, num_bytes: int) -> KeptTensor:
        name = tensor.op.name
        place, kind = self.place(name), self._kind(tensor)
        return KeptTensor(num_bytes, name, place, kind)

    def _kind(self, tensor: tf.Tensor) -> str:
        name, shape = tensor.op.name, tuple(tensor.shape) if tensor.shape.rank else ()
        scopes = name.split("/")
        goes_back = is_backward(name) or (tensor.graph is self.graph and name not in self.forward)
        if tensor.name in self.batch:
            return BATCH
        if shape in self.shapes or tensor.op.type == "TensorListReserve":
            return WEIGHT_GRADIENT if goes_back else WEIGHT_COPY
        if tensor.name in self.liveness.stacks or tensor.op.type == "EmptyTensorList":
            return STACK
        if {"f", "g"} & set(scopes[:-1]):
            return STORED if "stored" in scopes else INSIDE
        if any(scope.startswith("unit_") for scope in scopes):
            is_gradient = "gradient_tape" in scopes or scopes[-1].startswith("gradient")
            return STREAM_GRADIENT if is_gradient else STREAM
        return ACTIVATION

    def _reason(self, tensor: tf.Tensor, readers: list[tf.Operation]) -> str:
        if self._kind(tensor) == WEIGHT_COPY:
            return "as F and G take them"
        own = self.place(tensor.op.name)
        sequences = [op for op in readers if "backward" in op.name.split("/")]
        if not sequences:
            return f"{READ} {readers[0].type}"
        scope = scope_of(sequences[0].name)
        if "checkpoint" in sequences[0].name.split("/"):
            return "a unit's input, from which it is computed again"
        if "reversible" not in sequences[0].name.split("/"):
            return "what is computed again begins with it"
        if own and scope_of(tensor.op.name) == scope:
            return "output of a sequence, from which the rest is restored"
        return "input of a unit without inverse"


def _largest_first(tensors: Iterable[KeptTensor]) -> list[KeptTensor]:
    return sorted(tensors, key=lambda t: -t.num_bytes)


def _is_xla(op: tf.Operation) -> bool:
    try:
        return bool(op.get_attr("_XlaMustCompile"))
    except ValueError:
        return False
