"""Trains a ResNet or RevNet on CIFAR-10, CIFAR-100, own images, tfds: data sets or an embedded one.

Examples:

    ./run_cifar_train.py --dataset cifar-10 --model revnet-38
    ./run_cifar_train.py --dataset synthetic --max_num_steps 300
    ./run_cifar_train.py --dataset folder --data_folder DIR --recipe fast --num_epochs 20
    ./run_cifar_train.py --restore --id EXP

`resnet train-cifar` is the same. With 2 cores, revnet-38 takes some 0.4 s a step of 100 images.
"""

import dataclasses

from resnet.commands import options
from resnet.configs import get_config, list_configs
from resnet.data.registry import CIFAR, CIFAR_CHOICES, CIFAR_PREPROCESSORS, ByName
from resnet.errors import UsageError, shown
from resnet.settings import SettingError
from resnet.weights.folder import CIFAR_RESULTS as RESULTS

ESSENTIAL = options.ESSENTIAL
DEFAULT_MODEL = "revnet-38"
DATA_FOLDER = "./data"
FOLDER = "folder"  # the data set of own images
SAMPLE_SIZE = 20  # images of a smoke test's splits


def define_flags(flags):
    """Defines the command's flags."""
    default = next(iter(CIFAR))
    flags.text("Data", "dataset", "Data set.", default_text=default, choices=CIFAR_CHOICES)
    options.define_training_flags(flags, DEFAULT_MODEL, RESULTS, without=("deterministic",))
    define_data_folder(flags)
    flags.switch("Experiment", "eval_only", "With --restore: print the test accuracy, and exit.")
    options.define_best_flag(flags)


def define_data_folder(flags):
    """Defines --data_folder."""
    flags.text(options.FOLDERS, "data_folder", "Folder of the data sets.", DATA_FOLDER)


def data_folder_of(flags, experiment):
    """--data_folder; without it, the folder of own images that an experiment was trained on."""
    from resnet.training.own_images import folder_of

    is_kept = experiment.options.dataset == FOLDER and not flags.is_given("data_folder")
    return (folder_of(experiment) if is_kept else None) or flags.data_folder


def main(flags):
    """Trains, evaluates while training, and prints the accuracy at the end."""
    from resnet.commands.train import run_training

    run_training(_task(flags), flags)


def evaluate(flags, experiment):
    """Prints the test accuracy of a trained experiment.

    Args:
      flags: Flags with data_folder, best, ckpt_num, and what may differ from how it was trained.
      experiment: Experiment.
    """
    from resnet.commands.train import evaluate_experiment

    names = ("eval_images", "num_gpu", "logical_cpus")  # where it was trained does not matter
    asked = {n: getattr(flags, n) for n in names} | {"test_time_flip": bool(flags.test_time_flip)}
    run = dataclasses.replace(experiment.options, **asked)
    evaluated = dataclasses.replace(experiment, options=run)
    evaluate_experiment(_task(flags), evaluated, flags.best, flags.ckpt_num)


def evaluate_weights(flags, pretrained):
    """Prints the test accuracy of trained weights.

    Args:
      flags: Flags with weights, data_folder, eval_images, test_time_flip, num_gpu, logical_cpus.
      pretrained: Pretrained, which flags.weights name.

    Raises:
      UsageError: own images are of other classes, or chance would choose those to test with.
    """
    from resnet.data.cifar.input import load_dataset
    from resnet.data.cifar.pipeline import evaluation_batches
    from resnet.models import get_model
    from resnet.training.evaluation import Evaluation, first_images
    from resnet.training.placement import place

    config, name = pretrained.config, pretrained.dataset
    placement = place(flags.num_gpu, flags.logical_cpus)  # before reading data starts devices
    dataset = load_dataset(name, flags.data_folder, config.image_size)
    if tuple(dataset.label_names) != pretrained.label_names:
        raise UsageError(
            f"the images in {flags.data_folder!r} are of the classes {shown(dataset.label_names)}, "
            f"but the weights tell apart {shown(pretrained.label_names)}: give the folder of "
            "images that they were trained on"
        )
    if dataset.held_out:
        raise UsageError(
            f"{flags.data_folder!r} has no test/, and which of its images the weights were trained "
            "on is not known: evaluate the experiment with --id, or give a folder with train/ and "
            "test/"
        )
    with placement.strategy.scope():
        model = get_model(pretrained.model, weights=flags.weights)
    batches = evaluation_batches(dataset.test, model.scaling, config.evaluation_batch_size)
    evaluation = Evaluation(model, flips=bool(flags.test_time_flip))
    found = evaluation(first_images(batches, flags.eval_images), name="test")
    _print_accuracy("test", found, flags.eval_images)


def _print_accuracy(name, found, limit):
    """Prints an Accuracy; `limit` is --eval_images."""
    of = f" (of the first {found.num_images:,} images)" if limit else ""
    if found.flipped_top1 is not None:
        print(f"With mirror images, {name} accuracy = {found.flipped_top1:.3f}{of}")
    print(f"Final {name} accuracy = {found.top1:.3f}{of}")


def _task(flags):
    """What train-cifar does, as a Task."""
    from resnet.commands.train import Task
    from resnet.data.cifar.input import cifar_feed, require_built
    from resnet.training.own_images import dataset_of, keep_own_images

    def require_data(experiment):
        require_size(experiment.config, experiment.options.dataset)
        if CIFAR[experiment.options.dataset].archives:
            require_built(experiment.options.dataset, flags.data_folder)

    def count_images(config, run, started):
        folder = data_folder_of(flags, started) if started else flags.data_folder
        return num_images(config, run, folder)

    def load(experiment):
        config, name = experiment.config, experiment.options.dataset
        require_size(config, name)
        dataset = dataset_of(experiment, data_folder_of(flags, experiment))
        require_size(config, name, dataset.train.images.shape[1])
        return dataset

    def make_feed(dataset, experiment, is_chief):
        if is_chief:
            experiment.keep_label_names(dataset.label_names)
            if dataset.name == FOLDER:
                keep_own_images(experiment, dataset, data_folder_of(flags, experiment))
        return cifar_feed(
            dataset,
            experiment.options.validation,
            experiment.config,
            lambda name, compute: experiment.kept(name, compute, is_chief),
        )

    def print_accuracies(results, experiment):
        for name, found in results.items():
            _print_accuracy(name, found, experiment.options.eval_images)

    return Task(
        DEFAULT_MODEL,
        ByName(
            {name: _classes_of(entry, flags) for name, entry in CIFAR.items()},
            lambda name: _classes_of(CIFAR[name], flags),
        ),
        CIFAR_PREPROCESSORS,
        count_images,
        load,
        make_feed,
        print_accuracies,
        _sample,
        require_data=require_data,
    )


def _classes_of(entry, flags):
    """Function of a config file's fields that returns how many classes a data set has."""
    return lambda fields: entry.counts(flags.data_folder).num_classes


def num_images(config, run, data_folder):
    """How many images train.

    Args:
      config: Config.
      run: RunOptions.
      data_folder: folder of the data sets.
    """
    from resnet.data.cifar.input import num_held_out

    count = CIFAR[run.dataset].counts(data_folder).num_training_images
    return count - num_held_out(count) if run.validation else count


def require_size(config, dataset, side=None):
    """Checks that a config takes images of a data set's size.

    Args:
      config: Config.
      dataset: its name.
      side: pixels a side; default: what the registry says.

    Raises:
      SettingError: it does not.
    """
    side = side or CIFAR[dataset].image_size or config.image_size
    if config.image_size != side:
        remedy = f"choose another model, such as {DEFAULT_MODEL}"
        if config.name in list_configs() and get_config(config.name).image_size == side:
            remedy = "leave image_size out of the config"
        raise SettingError(
            f"{config.name} takes {config.image_size}x{config.image_size} images, but {dataset} "
            f"has {side}x{side} ones: {remedy}",
            "image_size",
            "model",
            "dataset",
        )


def _sample(dataset):
    """A few images of each split."""
    train, test = (split.take(slice(SAMPLE_SIZE)) for split in (dataset.train, dataset.test))
    return dataclasses.replace(dataset, train=train, test=test)
