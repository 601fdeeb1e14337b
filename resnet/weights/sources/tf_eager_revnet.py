"""Checkpoints of TensorFlow's eager RevNet: tf.train.Checkpoint(model, optimizer, ...)."""

from resnet.models.network import SCOPE
from resnet.weights.checkpoint_format import CheckpointError, step_of
from resnet.weights.sources.object_graph import KERAS_NAMES, ObjectGraph
from resnet.weights.sources.tensors import Tensors

SLOT = "momentum"


def read(network, checkpoint):
    """The Tensors of a checkpoint."""
    graph = ObjectGraph(checkpoint)
    names = list(network.parameters_by_name())
    has_projections = any("project" in name.split("/") for name in names)
    if has_projections or not network.family.is_reversible:
        raise CheckpointError(
            f"the eager RevNet has no counterpart of {network.config.name}: give an -eager config, "
            "such as revnet-38-eager"
        )
    paths = {name: f"model/{_path(name)}" for name in names}
    weights = {name: graph.value(path) for name, path in paths.items()}
    slots = {name: graph.slot(path, SLOT) for name, path in paths.items()}
    momentum = {name: value for name, value in slots.items() if value is not None}
    step = graph.value("optimizer_step") if graph.has("optimizer_step") else None
    step = None if step is None else step_of(step, checkpoint)
    return Tensors(weights, momentum, step, graph.unused())


def _path(name):
    """Where the eager RevNet has a tensor: its object's path below the model.

    Model/unit_2_0/f/sub1/bn1/gamma is _block_list/1/blocks/0/f/batch_norm_0/gamma.
    """
    *blocks, layer, tensor = name.removeprefix(f"{SCOPE}/").split("/")
    block, function = [*blocks, "", ""][:2]
    kind = "conv2d" if "conv" in layer else "batch_norm"
    if block == "init":
        place = f"_init_block/{kind}"
    elif layer == "logit":
        place = "_final_block/dense"
    elif block == "unit_last":
        place = f"_final_block/{kind}"
    else:
        _, stage, unit = block.split("_")
        number = int(layer[-1]) - (kind == "batch_norm")  # batch norms count from 0
        place = f"_block_list/{int(stage) - 1}/blocks/{unit}/{function}/{kind}_{number}"
    return f"{place}/{KERAS_NAMES[tensor]}"
