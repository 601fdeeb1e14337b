"""What run_cifar_train.py does: flags -> config -> data -> train_and_evaluate."""

import pathlib

from absl import flags

from resnet.data.cifar import NUM_CLASSES, load_dataset
from resnet.errors import UsageError
from resnet.training import flags as training_flags
from resnet.training.experiment import Experiment, load_experiment, new_id
from resnet.training.summary import summary
from resnet.training.train import train_and_evaluate

FLAGS = flags.FLAGS
DEFAULT_MODEL = "revnet-38"


def define_flags():
    """Defines the script's flags."""
    training_flags.define_training_flags(DEFAULT_MODEL, list(NUM_CLASSES), "./results/cifar")


def main():
    """Trains, or with --dry_run says what would be trained."""
    experiment = _restored() if FLAGS.restore else _new()
    config, options = experiment.config, experiment.options
    devices = training_flags.resolve_devices(options.num_gpu, config.batch_size)
    jit = training_flags.resolve_jit(options.jit, devices)
    print(f"experiment {experiment.id}", flush=True)
    if FLAGS.dry_run:
        print(summary(experiment, devices))
        return
    dataset = load_dataset(options.dataset, FLAGS.data_folder)
    print(summary(experiment, devices), flush=True)
    accuracy = train_and_evaluate(
        experiment,
        dataset,
        devices,
        jit,
        training_flags.command_line(),
        training_flags.resume_command(experiment),
    )
    print(f"Final test accuracy = {accuracy:.3f}")


def _new():
    config, run = training_flags.resolve_config(DEFAULT_MODEL, NUM_CLASSES)
    if config.image_size != 32 and not FLAGS.dry_run:
        raise UsageError(
            f"{config.name} takes {config.image_size}x{config.image_size} images, but "
            f"{run['dataset']} has 32x32 ones: choose a CIFAR model, such as {DEFAULT_MODEL}"
        )
    options = training_flags.resolve_options(config, run)
    experiment_id = FLAGS.id or new_id(options.dataset, config.name)
    if pathlib.Path(experiment_id).name != experiment_id or experiment_id == "..":
        raise UsageError(f"--id is {experiment_id!r}, but must be a plain name without slashes")
    folders = [pathlib.Path(root) / experiment_id for root in (FLAGS.results, FLAGS.logs)]
    for folder in folders:
        if folder.exists() and not FLAGS.dry_run:
            raise UsageError(
                f"experiment {experiment_id!r} exists in {str(folder.parent)!r}: continue it "
                "with --restore, or give another --id"
            )
    return Experiment(experiment_id, config, options, *folders)


def _restored():
    if not FLAGS.id:
        raise UsageError("--restore needs --id: the experiment to continue")
    experiment = load_experiment(FLAGS.id, FLAGS.results, FLAGS.logs)
    return training_flags.restored_options(experiment)
