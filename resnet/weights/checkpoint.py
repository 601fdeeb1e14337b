"""Checkpoints: TensorFlow files under revnet-public's names, each complete or absent."""

import itertools
import os
import pathlib
import re
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from resnet.errors import UserError, message_of
from resnet.files import make_folder, part_of, written_beside
from resnet.models import Model
from resnet.weights.checkpoint_format import (
    AVERAGE,
    LEARN_RATE,
    SEED,
    STEP,
    CheckpointError,
    read_checkpoint,
    slot_name,
    step_of,
    without_slots,
)

PREFIX = "model.ckpt-"
SET_ASIDE = "set_aside"
INDEX, DATA = ".index", ".data-00000-of-00001"

Optimizer = Any  # resnet.training.optimizer.Optimizer, of a floor above


def list_checkpoints(folder: str | os.PathLike[str]) -> dict[int, str]:
    """{step: prefix} of the complete checkpoints in a folder, by rising step."""
    found = {}
    for path in pathlib.Path(folder).glob(f"{PREFIX}*{INDEX}"):
        match = re.fullmatch(re.escape(PREFIX) + r"(\d+)", path.name.removesuffix(INDEX))
        if match and (path.with_name(path.name.removesuffix(INDEX) + DATA)).exists():
            found[int(match[1])] = str(path).removesuffix(INDEX)
    return dict(sorted(found.items()))


def save_checkpoint(
    folder: str | os.PathLike[str], step: int, model: Model, optimizer: Optimizer, seed: int
) -> str:
    """Writes weights, moving averages, what the optimizer keeps beside them, step and seed.

    Args:
      folder: where to; the checkpoint becomes model.ckpt-STEP.
      step: number of updates done.
      model: Model.
      optimizer: Optimizer.
      seed: of the data's order and augmentation.

    Returns:
      The checkpoint's prefix.

    Raises:
      UserError: a value is not finite, or the file cannot be written; earlier
        checkpoints are untouched.
    """
    tensors = dict(model.get_weights())
    for suffix, slots in optimizer.slots.items():
        values = model.to_public({name: slot.value() for name, slot in slots.items()})
        tensors |= {slot_name(name, suffix): value for name, value in values.items()}
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise UserError(
                f"{name} is not finite at step {step}, which is not saved; earlier checkpoints "
                "are unchanged. Lower learning_rates and start again"
            )
    tensors |= {STEP: tf.constant(step, tf.int64), SEED: tf.constant(seed, tf.int64)}
    tensors[LEARN_RATE] = tf.constant(model.config.learning_rate(step), tf.float32)
    prefix = pathlib.Path(folder) / f"{PREFIX}{step}"
    names = sorted(tensors)
    # The index is renamed last: a checkpoint exists once its index does.
    with written_beside(f"{prefix}{INDEX}") as index, written_beside(f"{prefix}{DATA}") as data:
        temporary = str(part_of(prefix))
        try:
            tf.raw_ops.SaveV2(
                prefix=temporary,
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=[tensors[name] for name in names],
            )
            os.replace(temporary + DATA, data)
            os.replace(temporary + INDEX, index)
        except tf.errors.OpError as error:
            raise UserError(
                f"cannot write checkpoint {prefix}: {message_of(error)}. Free some space; "
                "earlier checkpoints are unchanged"
            ) from None
        finally:
            for leftover in pathlib.Path(folder).glob(f"{pathlib.Path(temporary).name}*"):
                leftover.unlink(missing_ok=True)
    return str(prefix)


def remove_checkpoints(folder: str | os.PathLike[str], steps_kept: Container[int]) -> None:
    """Removes the checkpoints of a folder but those of some steps; of halves, what there is."""
    for suffix in (INDEX, DATA):  # the index first: without it, the checkpoint is none
        for path in pathlib.Path(folder).glob(f"{PREFIX}*{suffix}"):
            step = path.name.removeprefix(PREFIX).removesuffix(suffix)
            if step.isdecimal() and int(step) not in steps_kept:
                path.unlink(missing_ok=True)


def set_aside(
    folder: str | os.PathLike[str], step: int, also: Sequence[str] = ()
) -> pathlib.Path | None:
    """Moves the checkpoints behind a step into a new folder below, set_aside-1 or so on.

    Args:
      folder: of the checkpoints.
      step: the last that stays.
      also: names of files and folders that go with them, if they are there.

    Returns:
      The folder; None if there is nothing to move.
    """
    later = [prefix for found, prefix in list_checkpoints(folder).items() if found > step]
    also = [name for name in also if (pathlib.Path(folder) / name).exists()]
    if not (later or also):
        return None
    names = (pathlib.Path(folder) / f"{SET_ASIDE}-{number}" for number in itertools.count(1))
    place = next(path for path in names if not path.exists())
    make_folder(place)
    for name in also:
        os.replace(pathlib.Path(folder) / name, place / name)
    for prefix in later:
        for suffix in (INDEX, DATA):  # the index first: without it, the checkpoint is none
            os.replace(prefix + suffix, place / (pathlib.Path(prefix).name + suffix))
    return place


def restore_checkpoint(
    prefix: str | os.PathLike[str], model: Model, optimizer: Optimizer | None = None
) -> int:
    """Sets a model to what a checkpoint of it holds.

    With an optimizer, everything is as it was, to train on. Without, the weights are those
    that are evaluated: their moving averages, where there are such.

    Args:
      prefix: the checkpoint's path without .index.
      model: Model.
      optimizer: Optimizer, or None.

    Returns:
      The step, int: number of updates done.

    Raises:
      CheckpointError: missing, damaged, or another model's; nothing is changed.
    """
    tensors = read_checkpoint(prefix)
    try:
        step = step_of(tensors.pop(STEP), prefix)
        for name in (SEED, LEARN_RATE):
            tensors.pop(name, None)
        weights, kept = without_slots(tensors, model.network)
        if optimizer:
            slots = {
                suffix: {
                    public: kept[slot_name(public, suffix)] for public in model.public_names(one)
                }
                for suffix, one in optimizer.slots.items()
            }
            for suffix, one in optimizer.slots.items():
                model.check_public(one, slots[suffix])
        model.set_weights(weights if optimizer else _averaged(weights, kept))
        if optimizer:
            for suffix, one in optimizer.slots.items():
                model.assign_public(one, slots[suffix])
    except CheckpointError:
        raise
    except (KeyError, ValueError) as error:
        detail = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise CheckpointError(
            f"checkpoint {prefix} is not one of {model.config.name}: {detail}. "
            "Give the config and the experiment it was trained with"
        ) from None
    return step


def _averaged(
    weights: dict[str, np.ndarray], tensors: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """`weights`, or their moving averages among other tensors of a checkpoint."""
    return {name: tensors.get(slot_name(name, AVERAGE), value) for name, value in weights.items()}


def init_from_checkpoint(prefix: str | os.PathLike[str], model: Model) -> list[str]:
    """Sets those weights and moving averages that a checkpoint has in the same shape.

    Where it has moving averages of weights, they are what is taken.

    Args:
      prefix: the checkpoint's path without .index; of any model of this project.
      model: Model.

    Returns:
      [str]: the tensors that keep their initial values, each with the reason.

    Raises:
      CheckpointError: missing, damaged, or nothing in it fits.
    """
    found = read_checkpoint(prefix)
    return init_from_tensors(_averaged(found, found), f"checkpoint {prefix}", model)


def init_from_tensors(tensors: dict[str, np.ndarray], source: str, model: Model) -> list[str]:
    """As `init_from_checkpoint`, of tensors that are read already.

    Args:
      tensors: {public name: array}.
      source: what they are, for the message.
      model: Model.
    """
    weights, left, has_kernels = model.get_weights(), [], False
    for name, value in weights.items():
        if name not in tensors:
            left.append(f"{name} (not there)")
        elif tensors[name].shape != value.shape:
            left.append(f"{name} (shape {tensors[name].shape} there, {value.shape} here)")
        else:
            weights[name] = tensors[name]
            has_kernels = has_kernels or value.ndim > 1  # a bias of as many classes is nothing
    if not has_kernels:
        raise CheckpointError(
            f"{source} has no kernel that fits {model.config.name}, such as {left[0]}: "
            "give an experiment or weights of the same family to --init_from"
        )
    model.set_weights(weights)
    return left
