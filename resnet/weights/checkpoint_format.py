"""revnet-public's checkpoint format, which is this project's own too."""

import contextlib
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from resnet.errors import UserError
from resnet.models.network import SCOPE

STEP = f"{SCOPE}/global_step"  # number of updates done
LEARN_RATE = f"{SCOPE}/learn_rate"
SEED = f"{SCOPE}/seed"  # of the data's order; revnet-public has none


class CheckpointError(UserError, ValueError):
    """A checkpoint that is missing, damaged or another model's."""


MOMENTUM = "Momentum"  # suffixes of what an optimizer keeps beside a weight
AVERAGE = "ExponentialMovingAverage"


def slot_name(public_name, suffix=MOMENTUM):
    """Name of what an optimizer keeps beside a variable."""
    return f"{SCOPE}/{public_name}/{suffix}"


def without_slots(tensors, network):
    """(weights and moving averages, what optimizers keep beside them) of a checkpoint, by name."""
    beside = tuple(f"{SCOPE}/{name}/" for name in network.parameters_by_name())
    kept = {name: value for name, value in tensors.items() if name.startswith(beside)}
    return {name: value for name, value in tensors.items() if name not in kept}, kept


def step_of(value, prefix):
    """The number of updates, int, that a checkpoint's tensor says.

    Raises:
      CheckpointError: it is no such number.
    """
    array = np.asarray(value)
    is_number = array.size == 1 and array.dtype.kind in "iuf"  # f: revnet-public's
    if not is_number or not (0 <= array.item() < 2**63) or array.item() % 1:
        raise CheckpointError(
            f"checkpoint {prefix} is damaged: its step is no whole number from 0. Give another"
        )
    return int(array.item())


@contextlib.contextmanager
def _without_pattern(prefix):
    """A prefix of the same files that TensorFlow does not take for a pattern."""
    if not set(prefix) & set("*?[\\"):
        yield prefix
        return
    path = pathlib.Path(prefix).absolute()
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.iterdir():
            if file.name.startswith(path.name + "."):
                (pathlib.Path(folder) / f"c{file.name.removeprefix(path.name)}").symlink_to(file)
        yield f"{folder}/c"


def read_checkpoint(prefix):
    """Reads a TensorFlow checkpoint.

    Args:
      prefix: its path without .index.

    Returns:
      {name: numpy array} of everything in it.

    Raises:
      CheckpointError: missing or damaged.
    """
    index = pathlib.Path(f"{prefix}.index")
    if not index.is_file() and not pathlib.Path(prefix).is_file():  # the latter of TensorFlow's V1
        raise CheckpointError(f"checkpoint {prefix} does not exist: there is no file {index}")
    try:
        with _without_pattern(str(prefix)) as plain:
            reader = tf.train.load_checkpoint(plain)
            return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except Exception as error:
        detail = str(error).split("\n")[0]
        raise CheckpointError(
            f"checkpoint {prefix} cannot be read ({detail}): it is damaged, or none. "
            "Put a copy of its files in their place, or give another"
        ) from None
