"""What run_cifar_train.py trains: CIFAR-10, CIFAR-100 or the embedded data set."""

import dataclasses

from absl import flags

from resnet.data.cifar import NUM_CLASSES, cifar_feed, load_dataset, training_and_evaluation
from resnet.data.pipeline import mean_image
from resnet.data.preparation import PREPROCESSORS, prepare_for
from resnet.errors import UsageError
from resnet.training import flags as training_flags
from resnet.training.script import Task, run_training
from resnet.training.trained import define_best_flag

FLAGS = flags.FLAGS
DEFAULT_MODEL = "revnet-38"
IMAGE_SIZE = 32  # pixels a side, of all data sets
SAMPLE_SIZE = 20  # images of a smoke test's splits


def define_flags():
    """Defines the script's flags."""
    training_flags.define_training_flags(DEFAULT_MODEL, "./results/cifar")
    datasets = list(NUM_CLASSES)
    flags.DEFINE_enum("dataset", None, datasets, f"Data set (default {datasets[0]}).")
    flags.DEFINE_string("data_folder", "./data", "Folder of the data sets.")
    flags.DEFINE_boolean("validation", None, "Hold a tenth of the training images out.")
    flags.DEFINE_boolean("eval_only", False, "With --restore: print the test accuracy, and exit.")
    define_best_flag()


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
    require_size(experiment.config)
    return load_dataset(experiment.options.dataset, FLAGS.data_folder)


def require_size(config):
    """Checks that a config takes images of the data sets' size.

    Raises:
      UsageError: it does not.
    """
    if config.image_size != IMAGE_SIZE:
        raise UsageError(
            f"{config.name} takes {config.image_size}x{config.image_size} images, but the data "
            f"sets have {IMAGE_SIZE}x{IMAGE_SIZE} ones: choose another model, such as "
            f"{DEFAULT_MODEL}"
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
