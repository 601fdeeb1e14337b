"""Weights of other projects' checkpoints, with every name accounted for."""

import dataclasses
import os

import numpy as np

from resnet.models import Model
from resnet.weights.checkpoint_format import CheckpointError
from resnet.weights.sources import SOURCES, read_source


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """What became of each name in an imported checkpoint."""

    imported: tuple[str, ...]  # names of weights and moving averages, now the model's
    momentum: dict[str, np.ndarray]  # {weight's name: numpy array}, for an optimizer
    step: int | None  # number of updates, if the checkpoint says
    ignored: tuple[str, ...]  # known names that a model has no use for


def import_weights(
    model: Model, checkpoint: str | os.PathLike[str], source: str = "revnet-public"
) -> ImportReport:
    """Sets a model's weights from another project's checkpoint.

    Args:
      model: Model; unchanged if anything is wrong.
      checkpoint: path of a TensorFlow checkpoint without .index, such as
        .../model.ckpt-0.
      source: "revnet-public" (this project's own checkpoints have the same format),
        "cifar-vs-tensorflow2" or "tf-eager-revnet".

    Returns:
      ImportReport.

    Raises:
      CheckpointError: unknown source, nothing readable there, names that are
        missing or that nobody knows, or a shape that differs.
    """
    if source not in SOURCES:
        raise CheckpointError(f"unknown source {source!r}: choose one of {', '.join(SOURCES)}")
    found = read_source(source, model.network, checkpoint)
    try:
        model.set_weights(found.weights)
    except ValueError as error:
        raise CheckpointError(
            f"checkpoint {checkpoint}: {error}. Give the model that it was trained as"
        ) from None
    return ImportReport(tuple(found.weights), found.momentum, found.step, found.ignored)
