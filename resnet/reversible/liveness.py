"""Which tensors of a traced graph are in memory at once, found without running it.

A walk over the operations in the order in which they become ready, first come, first served, as
the executor of one thread has it. A value comes to be with its operation, and goes with the last
that reads it. Operations that can write over their input do, where nothing else reads it. Loops
are walked a few times, calls once. The memory that an operation takes while it runs is not known.
"""

import collections
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

# Operations whose output is their input's memory.
ALIASES = {"Identity", "IdentityN", "Reshape", "ExpandDims", "Squeeze", "StopGradient"}
ALIASES |= {"PreventGradient", "ReadVariableOp", "TensorListSetItem", "TensorListPushBack"}
# Operations that write over an input, where nothing else reads it.
IN_PLACE = {"Relu", "ReluGrad", "Add", "AddV2", "AddN", "Sub", "Mul", "RealDiv", "BiasAdd", "Neg"}
IN_PLACE |= {"Round", "Square", "Maximum", "Minimum", "Abs", "Sqrt", "Rsqrt", "Exp", "Tanh", "Cast"}
IN_PLACE |= {"Sigmoid", "Softmax", "SelectV2"}
LOOPS, CALLS = {"While", "StatelessWhile"}, {"StatefulPartitionedCall", "PartitionedCall"}
BRANCHES = {"If", "StatelessIf"}
# Operations that need no values: the graph's optimiser knows what they return.
SHAPES = {"Shape", "ShapeN", "Size", "Rank"}
ROUNDS = 3  # of a loop: as many as change anything


class Value:
    """A piece of memory.

    Attributes:
      tensor: the tensor that it came to be with.
      num_bytes: its size.
      readers: how many operations are still to read it.
    """

    def __init__(self, tensor: tf.Tensor, num_bytes: int, readers: int = 0) -> None:
        self.tensor, self.num_bytes, self.readers = tensor, num_bytes, readers


class Liveness:
    """A walk over a graph.

    Attributes:
      peak: the most bytes that values take at once; what variables hold is not among them.
      at_peak: [Value] then.
      moment: the operation whose output made it the peak.
      stacks: {name of a loop's output that is a list of tensors: bytes of all of them}.
      has_open_loops: whether a loop's rounds are not known, so that its stacks are counted short.
      num_operations: that return numbers, not shapes; of a loop's body once.
    """

    def __init__(self, graph: tf.Graph, given: Iterable[tf.Tensor] = ()) -> None:
        """Walks over a function's graph.

        Args:
          graph: FuncGraph.
          given: inputs that are in memory all the time, such as a batch.
        """
        self.peak, self.num_operations = 0, 0
        self.at_peak: list[Value] = []
        self.moment: tf.Operation | None = None
        self._live: dict[Value, None] = {}
        self._bytes = 0
        self._counts, self._rounds = True, ROUNDS
        self._pushed: set[Value] = set()
        self.stacks: dict[str, int] = {}
        self.has_open_loops = False
        names = {t.name for t in given}
        inputs = [Value(t, size_of(t) if t.name in names else 0, 2) for t in graph.inputs]
        for value in inputs:
            self._add(value)
        self._walk(graph, inputs)

    def _add(self, value: Value) -> None:
        self._live[value] = None
        self._take(value.num_bytes, value)

    def _take(self, size: int, value: Value) -> None:
        self._bytes += size
        if self._bytes > self.peak:
            self.peak, self.moment = self._bytes, value.tensor.op
            self.at_peak = list(self._live)

    def _drop(self, value: Value) -> None:
        """One reader less."""
        value.readers -= 1
        if not value.readers:
            del self._live[value]
            self._bytes -= value.num_bytes

    def _walk(self, graph: tf.Graph, inputs: Sequence[Value]) -> list[Value]:
        """Walks over a graph, given the values of its inputs, which have a reader less then.

        Returns:
          The values of its outputs, each with one reader more.
        """
        operations = needed_operations(graph)
        self.num_operations += sum(map(_computes, operations)) * self._counts
        readers = collections.Counter(t.name for op in operations for t in op.inputs)
        readers.update(t.name for t in graph.outputs)
        values: dict[str, Value] = {}

        def bind(tensor: tf.Tensor, value: Value) -> None:
            values[tensor.name] = value
            value.readers += readers[tensor.name]

        for tensor, value in zip(graph.inputs, inputs, strict=True):
            bind(tensor, value)
        for value in inputs:
            self._drop(value)
        for op in in_order(operations):
            if op.outputs and op.outputs[0].name in values:
                continue  # an input
            read = [values[t.name] for t in op.inputs]
            if op.type in LOOPS:
                found = self._loop(graph, op, read)
            elif op.type in CALLS | BRANCHES:
                found = self._call(called_graph(graph, op), read[op.type in BRANCHES :])
            else:
                found = self._outputs(op, read)
            for tensor, value in zip(op.outputs, found, strict=False):
                bind(tensor, value)
                self._drop(value)
            for value in () if op.type in LOOPS else read:
                self._drop(value)
        return [values[t.name] for t in graph.outputs]

    def _outputs(self, op: tf.Operation, read: Sequence[Value]) -> list[Value]:
        """The values of an operation's outputs, each with one reader for now."""
        found = []
        for i, tensor in enumerate(op.outputs):
            size = size_of(tensor)
            if op.type in ALIASES and read:
                over = [read[i]]
                if op.type == "TensorListPushBack":
                    self._push(over[0], read[1])
            elif op.type in IN_PLACE:
                free = [v for v in read if v.readers == 1 and v not in self._pushed]
                over = [v for v in free if v.num_bytes == size > 0]
            else:
                over = []
            if over:
                over[0].readers += 1
            else:
                over = [Value(tensor, size, 1)]
                self._add(over[0])
            found.append(over[0])
        return found

    def _push(self, stack: Value, value: Value) -> None:
        """A loop's body puts a value on a stack, in all of its rounds, of which few are walked."""
        if value not in self._pushed:  # else it has a place in memory already
            self._pushed.add(value)
            size = round(value.num_bytes * self._rounds / ROUNDS)
            stack.num_bytes += size
            self._take(size, stack)

    def _call(self, body: tf.Graph, read: Sequence[Value]) -> list[Value]:
        for value in read:
            value.readers += 1
        return self._walk(body, read)

    def _loop(self, graph: tf.Graph, op: tf.Operation, state: Sequence[Value]) -> list[Value]:
        """As `_outputs`; what nothing but the loop reads can go in its first round."""
        body, outside = called_graph(graph, op), (self._counts, self._rounds)
        most = tf.get_static_value(op.inputs[1])  # maximum_iterations; -1 where there is none
        self._rounds = ROUNDS if most is None or most < 0 else int(most)
        self.has_open_loops |= most is None or most < 0
        for _ in range(ROUNDS):
            state = self._walk(body, state)
            self._counts = False
        self._counts, self._rounds = outside
        for tensor, value in zip(op.outputs, state, strict=True):
            if tensor.dtype == tf.variant:
                self.stacks[tensor.name] = value.num_bytes
        return list(state)


def size_of(tensor: tf.Tensor) -> int:
    """Bytes of a tensor; of a list of tensors, with all of its elements; 0 where not known."""
    op = tensor.op
    if op.type == "TensorListReserve":
        shape, count = (tf.get_static_value(t) for t in op.inputs)
        if shape is None or count is None or np.min(shape, initial=0) < 0 or count < 0:
            return 0
        return int(np.prod(shape)) * int(count) * op.get_attr("element_dtype").size
    if tensor.dtype in (tf.resource, tf.variant, tf.string):
        return 0
    return (tensor.shape.num_elements() or 0) * tensor.dtype.size


def source_of(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor whose memory an alias shows."""
    while tensor.op.type in ALIASES and tensor.op.inputs:
        tensor = tensor.op.inputs[tensor.value_index if tensor.op.type == "IdentityN" else 0]
    return tensor


def called_graph(graph: tf.Graph, op: tf.Operation) -> tf.Graph:
    """The graph of a loop's body, of a call's function or of a branch."""
    name = "body" if op.type in LOOPS else "then_branch" if op.type in BRANCHES else "f"
    return graph._get_function(op.get_attr(name).name).graph


def needed_operations(graph: tf.Graph) -> list[tf.Operation]:
    """Operations of a function's graph that its outputs and its effects need."""
    found: set[tf.Operation] = set()
    stack = [t.op for t in (*graph.outputs, *graph.inputs)]
    stack += [op for op in graph.get_operations() if op._is_stateful]
    while stack:
        op = stack.pop()
        if op not in found:
            found.add(op)
            stack += [t.op for t in op.inputs] + list(op.control_inputs)
    return [op for op in graph.get_operations() if op in found]


def _computes(op: tf.Operation) -> bool:
    return op.type != "Const" and any(t.dtype.is_floating for t in op.outputs)


def in_order(operations: Sequence[tf.Operation]) -> Iterable[tf.Operation]:
    """Yields operations as they become ready, first come, first served."""
    waits: dict[tf.Operation, int] = {}
    next_ones = collections.defaultdict(list)
    for op in operations:
        before = [t.op for t in op.inputs] + list(op.control_inputs)
        waits[op] = len(before)
        for other in before:
            next_ones[other].append(op)
    ready = collections.deque(op for op, count in waits.items() if not count)
    while ready:
        op = ready.popleft()
        yield op
        for other in next_ones[op]:
            waits[other] -= 1
            if not waits[other]:
                ready.append(other)
