"""cifar-vs-tensorflow2's weights: Keras layers, numbered by their depth in the graph.

Keras sorts a model's layers by their distance from the output. Along a unit's residual
function that is their order; its shortcut's convolution (and batch norm) are as far from
the unit's sum as the residual function's last, and stand before or behind them, which
the shapes tell.
"""

from resnet.weights.checkpoint_format import CheckpointError
from resnet.weights.sources.object_graph import KERAS_NAMES, ObjectGraph
from resnet.weights.sources.tensors import Tensors

SLOT = "/.OPTIMIZER_SLOT/"  # in the names of an optimizer's values


def read(network, checkpoint):
    """The Tensors of a checkpoint."""
    graph, errors = ObjectGraph(checkpoint), []
    for shortcut_first in (False, True):
        try:
            weights = _read(network, graph, _layers(network, shortcut_first))
        except CheckpointError as error:
            errors.append(error)
            continue
        if unused := [n for n in graph.unused() if n.startswith("layer") and SLOT not in n]:
            raise CheckpointError(
                f"checkpoint {checkpoint} has {len(unused)} tensors more than "
                f"{network.config.name}, such as {unused[0]}: give the model that it was trained as"
            )
        return Tensors(weights, ignored=graph.unused())
    raise errors[0]


def _layers(network, shortcut_first):
    """Public names of the layers that have weights, in the order of Keras' numbers."""
    found = []
    for names in network.names_by_unit():
        layers = dict.fromkeys(name.rpartition("/")[0] for name in names)
        around = [layer for layer in layers if "project" in layer.split("/")]
        main = [layer for layer in layers if layer not in around]
        cut = len(main) - len(around)
        ends = zip(around, main[cut:], strict=True)
        pairs = [pair if shortcut_first else pair[::-1] for pair in ends]
        found += main[:cut] + [layer for pair in pairs for layer in pair]
    return found


def _read(network, graph, layers):
    """{public name: array}; raises CheckpointError where a shape is not the model's."""
    parameters, weights = network.parameters_by_name(), {}
    for i, layer in enumerate(layers):
        for name in (n for n in parameters if n.rpartition("/")[0] == layer):
            path = f"layer_with_weights-{i}/{KERAS_NAMES[name.rpartition('/')[2]]}"
            value = graph.value(path)
            if value.shape != parameters[name].shape:
                raise CheckpointError(
                    f"checkpoint {graph.prefix}: {path} has shape {value.shape}, but {name} of "
                    f"{network.config.name} has {parameters[name].shape}: give the model that it "
                    "was trained as"
                )
            weights[name] = value
    return weights
