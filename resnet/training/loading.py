"""Trained experiments as Keras models: `resnet.load`."""

import os

import keras

from resnet.models import get_model
from resnet.training.experiment import find_results, load_experiment
from resnet.weights.export_formats import keras_model
from resnet.weights.trained import restore_trained, stored_preparation


def load(
    experiment_id: str, *, results: str | os.PathLike[str] | None = None, best: bool = False
) -> keras.Model:
    """The Keras model of a trained experiment: pixels of 0 to 255 -> logits; with `label_names`.

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
    found = find_results(experiment_id) if results is None else results
    experiment = load_experiment(experiment_id, found, found)
    run = experiment.options
    model = get_model(experiment.config, backprop=run.backprop, dtype=run.dtype, exact=run.exact)
    restore_trained(experiment, model, best)
    model.label_names = experiment.label_names
    loaded = keras_model(model, stored_preparation(experiment))
    loaded.label_names = model.label_names
    return loaded
