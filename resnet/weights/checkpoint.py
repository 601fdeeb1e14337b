"""Checkpoints: TensorFlow files under revnet-public's names, each complete or absent."""

import os
import pathlib
import re
from collections.abc import Container
from typing import Any

import numpy as np
import tensorflow as tf

from resnet.errors import UserError, message_of
from resnet.files import written_beside
from resnet.models import Model
from resnet.weights.checkpoint_format import (
    LEARN_RATE,
    SEED,
    STEP,
    CheckpointError,
    read_checkpoint,
    slot_name,
)

PREFIX = "model.ckpt-"
INDEX, DATA = ".index", ".data-00000-of-00001"

Optimizer = Any  # resnet.training.optimizer.Momentum, of a floor above


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
    """Writes weights, moving averages, momentum, step and seed.

    Args:
      folder: where to; the checkpoint becomes model.ckpt-STEP.
      step: number of updates done.
      model: Model.
      optimizer: Momentum.
      seed: of the data's order and augmentation.

    Returns:
      The checkpoint's prefix.

    Raises:
      UserError: a value is not finite, or the file cannot be written; earlier
        checkpoints are untouched.
    """
    tensors = dict(model.get_weights())
    slots = model.to_public({name: slot.value() for name, slot in optimizer.slots.items()})
    tensors |= {slot_name(name): value for name, value in slots.items()}
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
        temporary = str(prefix.with_name(f"{PREFIX}{step}.{os.getpid()}.part"))
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
    """Removes the checkpoints of a folder but those of some steps."""
    for prefix in [p for step, p in list_checkpoints(folder).items() if step not in steps_kept]:
        # The index first: without it, the checkpoint is none.
        for suffix in (INDEX, DATA):
            pathlib.Path(prefix + suffix).unlink(missing_ok=True)


def restore_checkpoint(
    prefix: str | os.PathLike[str], model: Model, optimizer: Optimizer | None = None
) -> int:
    """Sets weights, moving averages and momentum from a checkpoint of this model.

    Args:
      prefix: the checkpoint's path without .index.
      model: Model.
      optimizer: Momentum, or None to leave the momentum out.

    Returns:
      The step, int: number of updates done.

    Raises:
      CheckpointError: missing, damaged, or another model's; nothing is changed.
    """
    tensors = read_checkpoint(prefix)
    try:
        step = int(tensors.pop(STEP))
        for name in (SEED, LEARN_RATE):
            tensors.pop(name, None)
        slots = {}
        for name, parameter in model.network.parameters_by_name().items():
            if not parameter.is_statistic:
                slots[name] = tensors.pop(slot_name(name))
        if optimizer:
            model.check_public(optimizer.slots, slots)
        model.set_weights(tensors)
        if optimizer:
            model.assign_public(optimizer.slots, slots)
    except (KeyError, ValueError) as error:
        detail = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise CheckpointError(
            f"checkpoint {prefix} is not one of {model.config.name}: {detail}. "
            "Give the config and the experiment it was trained with"
        ) from None
    return step


def init_from_checkpoint(prefix: str | os.PathLike[str], model: Model) -> list[str]:
    """Sets those weights and moving averages that a checkpoint has in the same shape.

    Args:
      prefix: the checkpoint's path without .index; of any model of this project.
      model: Model.

    Returns:
      [str]: the tensors that keep their initial values, each with the reason.

    Raises:
      CheckpointError: missing, damaged, or nothing in it fits.
    """
    tensors, left = read_checkpoint(prefix), []
    weights = model.get_weights()
    for name, value in weights.items():
        if name not in tensors:
            left.append(f"{name} (not there)")
        elif tensors[name].shape != value.shape:
            left.append(f"{name} (shape {tensors[name].shape} there, {value.shape} here)")
        else:
            weights[name] = tensors[name]
    if len(left) == len(weights):
        raise CheckpointError(
            f"checkpoint {prefix} has no tensor that fits {model.config.name}, such as {left[0]}: "
            "give an experiment of the same family to --init_from"
        )
    model.set_weights(weights)
    return left
