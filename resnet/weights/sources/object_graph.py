"""TensorFlow's object-based checkpoints: variables found by the objects that held them."""

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from resnet.weights.checkpoint_format import CheckpointError, read_checkpoint

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "VARIABLE_VALUE"
# Keras' name of a variable, by the last part of the public name.
KERAS_NAMES = {
    "w": "kernel",
    "b": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "ema_mean": "moving_mean",
    "ema_var": "moving_variance",
}


class ObjectGraph:
    """The objects of a checkpoint, from its root on.

    Paths are names joined by "/", such as "model/_init_block/conv2d/kernel".
    """

    def __init__(self, prefix):
        """Reads a checkpoint.

        Raises:
          CheckpointError: missing, damaged, or not object-based.
        """
        self.prefix = prefix
        self._tensors = read_checkpoint(prefix)
        if GRAPH not in self._tensors:
            raise CheckpointError(
                f"checkpoint {prefix} is not an object-based one, as Keras and tf.train.Checkpoint "
                "write them: give another, or the --source that it is of"
            )
        try:
            self._nodes = TrackableObjectGraph.FromString(self._tensors.pop(GRAPH)).nodes
        except (DecodeError, TypeError) as error:
            raise self._damaged(error) from None
        if not self._nodes:
            raise self._damaged("it has no objects")
        self._used = set()
        self._slots = {
            (slot.original_variable_node_id, slot.slot_name): slot.slot_variable_node_id
            for node in self._nodes
            for slot in node.slot_variables
        }

    def _damaged(self, why):
        return CheckpointError(
            f"checkpoint {self.prefix} is damaged: its graph of objects cannot be read ({why}). "
            "Give another"
        )

    def _node(self, number):
        if not 0 <= number < len(self._nodes):
            raise self._damaged(f"object {number} of {len(self._nodes)}")
        return self._nodes[number]

    def _find(self, path):
        """Id of the object at a path, or None."""
        node = 0
        for name in path.split("/"):
            children = {c.local_name: c.node_id for c in self._node(node).children}
            if name not in children:
                return None
            node = children[name]
        return node

    def has(self, path):
        """Whether there is an object at a path."""
        return self._find(path) is not None

    def value(self, path):
        """The array of the variable at a path.

        Raises:
          CheckpointError: there is none.
        """
        node = self._find(path)
        if node is None:
            raise CheckpointError(
                f"checkpoint {self.prefix} has no {path}: give the model that it was trained as"
            )
        return self._value(node)

    def slot(self, path, name):
        """The array of an optimizer's slot of the variable at a path, or None."""
        node = self._slots.get((self._find(path), name))
        return None if node is None else self._value(node)

    def _value(self, node):
        keys = [a.checkpoint_key for a in self._node(node).attributes if a.name == VALUE]
        if len(keys) != 1 or keys[0] not in self._tensors:
            raise self._damaged(f"object {node} has no value")
        value = self._tensors[keys[0]]
        if np.asarray(value).dtype.kind not in "fiuV":  # V: bfloat16
            raise self._damaged(f"{keys[0]} holds no numbers")
        self._used.add(keys[0])
        return value

    def unused(self):
        """Names of the tensors that nothing has asked for."""
        return tuple(sorted(self._tensors.keys() - self._used))
