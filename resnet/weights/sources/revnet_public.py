"""revnet-public's checkpoints: the public names are its own."""

from resnet.weights.checkpoint_format import (
    AVERAGE,
    LEARN_RATE,
    SEED,
    STEP,
    read_checkpoint,
    slot_name,
    step_of,
)
from resnet.weights.sources.tensors import Tensors


def read(network, checkpoint):
    """The Tensors of a checkpoint; this project's own have the same format."""
    weights = read_checkpoint(checkpoint)
    momentum = {
        name: weights.pop(slot_name(name))
        for name, parameter in network.parameters_by_name().items()
        if not parameter.is_statistic and slot_name(name) in weights
    }
    for name in network.parameters_by_name():  # of this project's own, the averages count
        if slot_name(name, AVERAGE) in weights:
            weights[name] = weights.pop(slot_name(name, AVERAGE))
    other = {name: weights.pop(name) for name in (STEP, LEARN_RATE, SEED) if name in weights}
    step = step_of(other.pop(STEP), checkpoint) if STEP in other else None
    return Tensors(weights, momentum, step, tuple(other))
