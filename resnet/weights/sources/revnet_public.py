"""revnet-public's checkpoints: the public names are its own."""

from resnet.weights.checkpoint_format import (
    AVERAGE,
    LEARN_RATE,
    MOMENTUM,
    SEED,
    STEP,
    read_checkpoint,
    slot_name,
    step_of,
    without_slots,
)
from resnet.weights.sources.tensors import Tensors


def read(network, checkpoint):
    """The Tensors of a checkpoint; this project's own have the same format."""
    weights, slots = without_slots(read_checkpoint(checkpoint), network)

    def taken(suffix):
        """{weight's name: what stands beside it under a suffix}; `slots` keeps the rest."""
        names = [n for n in network.parameters_by_name() if slot_name(n, suffix) in slots]
        return {name: slots.pop(slot_name(name, suffix)) for name in names}

    weights |= taken(AVERAGE)  # of this project's own, the averages count
    momentum = taken(MOMENTUM)
    other = {name: weights.pop(name) for name in (STEP, LEARN_RATE, SEED) if name in weights}
    step = step_of(other.pop(STEP), checkpoint) if STEP in other else None
    return Tensors(weights, momentum, step, (*other, *slots))
