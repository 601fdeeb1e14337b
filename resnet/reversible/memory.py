"""How many bytes stored backprop keeps of a function, found without running it."""

from collections.abc import Sequence

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.gradients import PureFunction, checked_pair
from resnet.reversible.liveness import source_of
from resnet.reversible.nest import Nest


def stored_bytes(function: PureFunction, params: Nest, x: Nest) -> int:
    """Bytes of activations that stored backprop keeps of a pure function.

    Traces the function and its gradient, and adds up what the gradient's operations read of
    the function's: intermediate values and x, but not parameters.

    Args:
      function: pure function (see `resnet.reversible.gradients`).
      params: nest of tensors.
      x: nest of tensors, or of tf.TensorSpec, of known shapes.

    Returns:
      Number of bytes.
    """
    found: dict[str, int] = {}

    def trace(params: Nest, x: Nest) -> None:
        graph = tf.compat.v1.get_default_graph()
        with tf.GradientTape() as tape:
            tape.watch((params, x))
            y, _ = checked_pair(function(params, x), "a pure function")
        forward = set(graph.get_operations())
        inputs = {t.name for t in tf.nest.flatten(x)}
        upstream = tf.nest.map_structure(tf.ones_like, y)
        tape.gradient(y, (params, x), output_gradients=upstream)
        for op in graph.get_operations():
            if op in forward:
                continue
            for tensor in map(source_of, op.inputs):
                is_weight = tensor.op.type in ("Placeholder", "Const") and tensor.name not in inputs
                if tensor.op in forward and not is_weight and tensor.shape.is_fully_defined():
                    found[tensor.name] = tensor.shape.num_elements() * tensor.dtype.size

    specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), (params, x))
    tf.function(trace, autograph=False).get_concrete_function(*specs)
    return sum(found.values())


def units_that_fit(
    units: Sequence[Coupling], params: Sequence[Nest], x: Nest, num_bytes: int
) -> int:
    """How many couplings at the end of a sequence can be stored.

    Args:
      units, params, x: as `run_sequence`'s, of couplings that keep the shape of x; x may be
        a nest of tf.TensorSpec.
      num_bytes: for their activations.

    Returns:
      Number of units.
    """
    num_kept = 0
    for unit, unit_params in zip(reversed(units), reversed(params), strict=True):
        num_bytes -= stored_bytes(unit.forward, unit_params, x)
        if num_bytes < 0:
            break
        num_kept += 1
    return num_kept
