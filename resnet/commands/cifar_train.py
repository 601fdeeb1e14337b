"""What run_cifar_train.py trains: CIFAR-10, CIFAR-100 or the embedded data set."""

import dataclasses

from absl import flags

from resnet.commands import flags as training_flags
from resnet.commands.train import Task, run_training
from resnet.data.cifar.input import (
    IMAGE_SIZE,
    NUM_CLASSES,
    cifar_feed,
    load_dataset,
    training_and_evaluation,
)
from resnet.data.cifar.pipeline import mean_image
from resnet.data.cifar.preparation import PREPROCESSORS, prepare_for
from resnet.errors import UsageError

FLAGS = flags.FLAGS
DEFAULT_MODEL = "revnet-38"
SAMPLE_SIZE = 20  # images of a smoke test's splits


def define_flags():
    """Defines the script's flags."""
    training_flags.define_training_flags(DEFAULT_MODEL, "./results/cifar")
    datasets = list(NUM_CLASSES)
    flags.DEFINE_enum("dataset", None, datasets, f"Data set (default {datasets[0]}).")
    flags.DEFINE_string("data_folder", "./data", "Folder of the data sets.")
    flags.DEFINE_boolean("validation", None, "Hold a tenth of the training images out.")
    flags.DEFINE_boolean("eval_only", False, "With --restore: print the test accuracy, and exit.")
    training_flags.define_best_flag()


def main():
    """Trains, evaluates while training, and prints the test accuracy."""
    run_training(
        Task(
            DEFAULT_MODEL,
            NUM_CLASSES,
            PREPROCESSORS,
            _load,
            _make_feed,
            _print_test_accuracy,
            _sample,
        )
    )


def _load(experiment):
    config, name = experiment.config, experiment.options.dataset
    require_size(config, name)
    dataset = load_dataset(name, FLAGS.data_folder)
    require_size(config, name, dataset.train.images.shape[1])
    return dataset


def require_size(config, dataset, side=IMAGE_SIZE):
    """Checks that a config takes images of a data set's size.

    Args:
      config: Config.
      dataset: its name.
      side: pixels a side.

    Raises:
      UsageError: it does not.
    """
    if config.image_size != side:
        raise UsageError(
            f"{config.name} takes {config.image_size}x{config.image_size} images, but {dataset} "
            f"has {side}x{side} ones: choose another model, such as {DEFAULT_MODEL}"
        )


def _make_feed(dataset, experiment, is_chief):
    validation = experiment.options.validation
    train, _ = training_and_evaluation(dataset, validation)
    preparation = prepare_for(
        experiment.config.preprocessor,
        dataset.name,
        lambda: experiment.mean_image(lambda: mean_image(train), is_chief),
    )
    return cifar_feed(dataset, validation, preparation, experiment.config)


def _sample(dataset):
    """A few images of each split."""
    train, test = (split.take(slice(SAMPLE_SIZE)) for split in (dataset.train, dataset.test))
    return dataclasses.replace(dataset, train=train, test=test)


def _print_test_accuracy(results, _):
    print(f"Final test accuracy = {results['test'].top1:.3f}")
