"""Making recomputation wait.

Recomputing an activation saves memory only if it happens *late*: after the
gradient that needs it has arrived. Nothing in a dataflow graph says so by
itself. The recomputation's inputs are ready early, so the executor may run it
early, and an optimiser may merge it with the equal nodes of the forward pass;
either way every activation stays alive. `after` adds the missing edge.
"""

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from resnet.reversible.nest import Nest


def _is_compiled_with_xla() -> bool:
    """Whether what is being traced is (part of) a tf.function(jit_compile=True)."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def after(dependencies: Nest, tensors: Nest) -> Nest:
    """Returns `tensors`, available only once `dependencies` are.

    Args:
      dependencies: nest of tensors (None entries are skipped).
      tensors: nest of tensors of any shape and type.

    Returns:
      A nest like `tensors`, the same values bit for bit. In eager mode, where
      program order is execution order, the tensors themselves.
    """
    dependencies = [d for d in tf.nest.flatten(dependencies) if d is not None]
    if tf.executing_eagerly() or not dependencies:
        return tensors
    flat = tf.nest.flatten(tensors)
    if _is_compiled_with_xla():  # which ignores control dependencies
        from tensorflow.compiler.tf2xla.python import xla

        held = xla.optimization_barrier(*dependencies, *flat)[len(dependencies) :]
    else:
        with tf.control_dependencies(dependencies):
            held = [tf.identity(t) for t in flat]
    return tf.nest.pack_sequence_as(tensors, held)
