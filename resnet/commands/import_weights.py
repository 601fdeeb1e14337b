"""Makes an experiment of another project's weights, to evaluate, restore or fine-tune.

    python -m resnet import --source cifar-vs-tensorflow2 \
        --checkpoint cifar_resnet20.tf --model resnet20-v1 --dataset cifar-10 --id NEW_ID
    ./run_cifar_train.py --restore --id NEW_ID --eval_only

Every tensor of the checkpoint and of the model must fit. Sources: revnet-public,
cifar-vs-tensorflow2, tf-eager-revnet.
"""

# This module is for the command line: `resnet.import_weights` is the function.

import dataclasses

from absl import flags

from resnet.commands import cli
from resnet.commands import flags as training_flags
from resnet.commands.imagenet_train import DATASET, RESULTS
from resnet.configs import get_config
from resnet.data.cifar.input import NUM_CLASSES
from resnet.data.cifar.preparation import PREPROCESSORS
from resnet.errors import UsageError
from resnet.files import written_beside
from resnet.training.experiment import Experiment, new_folders
from resnet.training.optimizer import Momentum
from resnet.weights import import_weights
from resnet.weights.checkpoint import list_checkpoints, save_checkpoint
from resnet.weights.sources import SOURCES

FLAGS = flags.FLAGS
REQUIRED = ("source", "checkpoint", "id")


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_enum("source", None, list(SOURCES), "The project that the checkpoint is of.")
    flags.DEFINE_string("checkpoint", None, "Its path without .index.")
    training_flags.define_config_flags()
    training_flags.define_experiment_flags("./results/cifar")
    datasets = [*NUM_CLASSES, DATASET]
    flags.DEFINE_enum("dataset", None, datasets, "What it is trained on (default: the model's).")
    flags.DEFINE_integer(
        "step", None, "Number of its updates, if it does not say (default: the config's end).", 0
    )


def main():
    """Writes conf.json and a checkpoint."""
    for name in REQUIRED:
        if FLAGS[name].value is None:
            raise UsageError(f"--{name} is needed: see --help")
    if not (FLAGS.model or FLAGS.config):
        raise UsageError("--model is needed: the config that the checkpoint was trained as")
    config, run = training_flags.resolve_config(None, _num_classes())
    options = training_flags.resolve_options(config, run)
    if options.dataset == DATASET and not FLAGS["results"].present:
        FLAGS.results = RESULTS
    folders = new_folders(FLAGS.id, (FLAGS.results, FLAGS.logs))
    experiment = Experiment(FLAGS.id, config, options, *folders)
    model = experiment.make_model(num_replicas=1)
    report = import_weights(model, FLAGS.checkpoint, FLAGS.source)
    optimizer = Momentum(model.trainable_by_storage_name, config.momentum, config.nesterov)
    slots = model.to_public({name: slot.numpy() for name, slot in optimizer.slots.items()})
    model.assign_public(optimizer.slots, slots | report.momentum)
    step = next(n for n in (FLAGS.step, report.step, config.num_steps) if n is not None)
    with written_beside(experiment.results) as folder:  # never a part of it
        dataclasses.replace(experiment, results=folder).save()
        save_checkpoint(folder, step, model, optimizer, config.seed)
    prefix = list_checkpoints(experiment.results)[step]
    print(
        f"{len(report.imported)} tensors"
        + (f" and {len(report.momentum)} of momentum" if report.momentum else "")
        + f" of {FLAGS.checkpoint} are {prefix}"
    )
    if report.ignored:
        print(f"not needed: {', '.join(report.ignored)}")


def _num_classes():
    """{data set: its number of classes}, the model's own first."""
    imagenet = {DATASET: None}
    if FLAGS.model and get_config(FLAGS.model).preprocessor not in PREPROCESSORS:
        return imagenet | NUM_CLASSES
    return NUM_CLASSES | imagenet


if __name__ == "__main__":
    define_flags()
    cli.run(main)
