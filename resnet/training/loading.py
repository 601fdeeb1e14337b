"""Trained experiments as Keras models: `resnet.load`."""

import os
import pathlib

import keras

from resnet.errors import UsageError
from resnet.models import get_model
from resnet.training.experiment import load_experiment
from resnet.weights.export_formats import keras_model
from resnet.weights.trained import restore_trained, stored_preparation

RESULTS = ("./results/cifar", "./results/imagenet")  # where experiments usually lie


def load(
    experiment_id: str, *, results: str | os.PathLike[str] | None = None, best: bool = False
) -> keras.Model:
    """The Keras model of a trained experiment: pixels of 0 to 255 -> logits.

        model = resnet.load("my-run")
        logits = model(images)  # (N, H, W, 3), uint8 or float -> (N, classes) float32

    Args:
      experiment_id: the --id that it was trained with.
      results: folder of experiments; default: ./results/cifar or ./results/imagenet.
      best: whether to take the checkpoint that --keep_best has kept, rather than the newest.

    Raises:
      UsageError (a ValueError): there is no such experiment.
      UserError: it has no checkpoint, or a damaged one.
    """
    folders = RESULTS if results is None else (results,)
    found = [place for place in folders if (pathlib.Path(place) / experiment_id).is_dir()]
    if not found:
        raise UsageError(
            f"no experiment {experiment_id!r} in {' or '.join(map(str, folders))}: give its id, "
            "and results if it lies elsewhere"
        )
    experiment = load_experiment(experiment_id, found[0], found[0])
    run = experiment.options
    model = get_model(experiment.config, backprop=run.backprop, dtype=run.dtype, exact=run.exact)
    restore_trained(experiment, model, best)
    model.label_names = experiment.label_names
    return keras_model(model, stored_preparation(experiment))
