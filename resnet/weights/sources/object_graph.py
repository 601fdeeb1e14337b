"""TensorFlow's object-based checkpoints: variables found by the objects that held them."""

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
        self._nodes = TrackableObjectGraph.FromString(self._tensors.pop(GRAPH)).nodes
        self._used = set()
        self._slots = {
            (slot.original_variable_node_id, slot.slot_name): slot.slot_variable_node_id
            for node in self._nodes
            for slot in node.slot_variables
        }

    def _find(self, path):
        """Id of the object at a path, or None."""
        node = 0
        for name in path.split("/"):
            children = {c.local_name: c.node_id for c in self._nodes[node].children}
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
        (attribute,) = (a for a in self._nodes[node].attributes if a.name == VALUE)
        self._used.add(attribute.checkpoint_key)
        return self._tensors[attribute.checkpoint_key]

    def unused(self):
        """Names of the tensors that nothing has asked for."""
        return tuple(sorted(self._tensors.keys() - self._used))
