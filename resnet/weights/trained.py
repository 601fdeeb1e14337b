"""Trained experiments: their newest weights, and how their images are prepared."""

from typing import Any, NoReturn

import numpy as np
import tensorflow as tf

from resnet.data.cifar.preparation import Preparation, prepare_for
from resnet.data.imagenet.input import preprocessing_of
from resnet.data.registry import CIFAR_PREPROCESSORS
from resnet.errors import UserError
from resnet.models import Model
from resnet.weights.checkpoint import list_checkpoints, restore_checkpoint
from resnet.weights.folder import BEST

Experiment = Any  # resnet.training.experiment.Experiment, of a floor above


def restore_trained(
    experiment: Experiment, model: Model, best: bool = False, step: int | None = None
) -> int:
    """Sets a model's weights to those of an experiment's checkpoint.

    Args:
      experiment: Experiment.
      model: Model.
      best: whether to take the best evaluation's checkpoint, rather than the newest.
      step: of the checkpoint to take; default: the newest there.

    Returns:
      The step, int.

    Raises:
      UserError: there is no checkpoint, or none of that step.
    """
    folder = experiment.results / BEST if best else experiment.results
    checkpoints = list_checkpoints(folder)
    if not checkpoints:
        how = " with --keep_best" if best else ""
        raise UserError(f"no checkpoint in {str(folder)!r}: train {experiment.id}{how} first")
    step = max(checkpoints) if step is None else step
    if step not in checkpoints:
        known = ", ".join(map(str, checkpoints))
        raise UserError(
            f"no checkpoint of step {step} in {str(folder)!r}: it has steps {known}; give one of "
            "these"
        )
    restore_checkpoint(checkpoints[step], model)
    return step


def stored_preparation(experiment: Experiment) -> Preparation:
    """The Preparation of an experiment's images once they have the network's size.

    Raises:
      UserError: it needs the training images' mean, which has not been computed yet.
    """
    config = experiment.config
    if config.preprocessor not in CIFAR_PREPROCESSORS:  # ImageNet's: affine, pixel by pixel
        black, white = (
            preprocessing_of(config).scale(tf.fill([3], x)).numpy() for x in (0.0, 255.0)
        )
        divisor = 255 / (white - black)
        return Preparation(-black * divisor, divisor, padding=0)

    def stored(name: str) -> np.ndarray:
        def missing() -> NoReturn:
            raise UserError(
                f"{experiment.results / name}.npy is not there yet: evaluate the experiment once, "
                f"with --restore --id {experiment.id} --eval_only"
            )

        return experiment.kept(name, missing)

    return prepare_for(config.preprocessor, experiment.options.dataset, stored)
