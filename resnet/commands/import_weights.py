"""Makes an experiment of another project's weights, to evaluate, restore or fine-tune.

    resnet import --source cifar-vs-tensorflow2 --checkpoint cifar_resnet20.tf \\
        --model resnet20-v1 --dataset cifar-10 --id NEW_ID
    resnet train-cifar --restore --id NEW_ID --eval_only

Every tensor of the checkpoint and of the model must fit. Sources: revnet-public,
cifar-vs-tensorflow2, tf-eager-revnet.
"""

import dataclasses

from resnet.commands import cifar_train, imagenet_train, options
from resnet.configs import get_config, list_configs
from resnet.data.registry import CIFAR, CIFAR_PREPROCESSORS, IMAGENET, IMAGENET_PREPROCESSORS
from resnet.errors import UsageError
from resnet.training.conf import read_conf
from resnet.weights.sources import SOURCES

ESSENTIAL = ("source", "checkpoint", "model", "dataset", "id")
REQUIRED = ("source", "checkpoint", "id")


def define_flags(flags):
    """Defines the command's flags."""
    flags.text("Weights", "source", "The project that the checkpoint is of.", choices=SOURCES)
    flags.text("Weights", "checkpoint", "Its path without .index.")
    options.define_config_flags(flags)
    options.define_experiment_flags(flags, cifar_train.RESULTS, "Id of the new experiment.")
    datasets = [*CIFAR, IMAGENET.name]
    flags.text(
        "Data", "dataset", "What it is trained on.", default_text="the model's", choices=datasets
    )
    flags.integer(
        "Weights",
        "step",
        "Number of its updates, if it does not say.",
        default_text="the config's end",
    )


def main(flags):
    """Writes conf.json and a checkpoint."""
    from resnet.files import written_beside
    from resnet.ownership import owned
    from resnet.training.experiment import Experiment, new_folders
    from resnet.training.optimizer import make_optimizer
    from resnet.training.placement import place
    from resnet.weights.checkpoint import list_checkpoints, save_checkpoint
    from resnet.weights.checkpoint_format import MOMENTUM
    from resnet.weights.importing import import_weights

    for name in REQUIRED:
        if not getattr(flags, name):
            raise UsageError(f"--{name} is needed: see --help")
    if not (flags.model or flags.config):
        raise UsageError("--model is needed: the config that the checkpoint was trained as")
    config, run = options.resolve_config(flags, None, _num_classes(flags))
    run = options.resolve_options(config, run, flags.given(options.OPTIONS))
    config = options.in_steps(config, lambda: _num_images(config, run))
    _require_fitting(config, run.dataset)
    results = flags.results
    if run.dataset == IMAGENET.name and not flags.is_given("results"):
        results = imagenet_train.RESULTS
    folders = new_folders(flags.id, (results, flags.logs))
    place(num_gpu=0)  # nothing is computed: a GPU's memory is left to others
    experiment = Experiment(flags.id, config, run, *folders)
    model = experiment.make_model(num_replicas=1)
    report = import_weights(model, flags.checkpoint, flags.source)
    optimizer = make_optimizer(model)
    if optimizer.average:
        optimizer.average.reset()
    takes_momentum = MOMENTUM in optimizer.slots
    if takes_momentum:
        slots = optimizer.slots[MOMENTUM]
        values = model.to_public({name: slot.numpy() for name, slot in slots.items()})
        model.assign_public(slots, values | report.momentum)
    if flags.is_given("step") and report.step not in (None, flags.step):
        raise UsageError(
            f"--step is {flags.step}, but {flags.checkpoint} is of step {report.step}: leave it out"
        )
    step = next(n for n in (report.step, flags.step, config.num_steps) if n is not None)
    with owned(experiment.results), written_beside(experiment.results) as folder:  # all of it
        new_folders(flags.id, (results, flags.logs))
        dataclasses.replace(experiment, results=folder).save()
        save_checkpoint(folder, step, model, optimizer, config.seed)
    prefix = list_checkpoints(experiment.results)[step]
    print(
        f"{len(report.imported)} tensors"
        + (f" and {len(report.momentum)} of momentum" if takes_momentum and report.momentum else "")
        + f" of {flags.checkpoint} are {prefix}"
    )
    if report.ignored:
        print(f"not needed: {', '.join(report.ignored)}")


def _num_images(config, run):
    """How many images train, to count epochs in steps.

    Raises:
      UsageError: nobody knows without the images.
    """
    entry = CIFAR.get(run.dataset)
    if not entry or not entry.num_classes:  # its size is that of what lies somewhere
        raise UsageError(
            f"num_epochs and warmup_epochs cannot be counted without the images of {run.dataset}: "
            "give num_steps and warmup_steps"
        )
    return cifar_train.num_images(config, run, cifar_train.DATA_FOLDER)


def _num_classes(flags):
    """{data set: its number of classes}, the model's own first."""
    imagenet = {IMAGENET.name: None}
    cifar = {name: entry.num_classes for name, entry in CIFAR.items()}
    fields, _ = read_conf(flags.config) if flags.config else ({}, {})
    name = flags.model or fields.get("name")
    own = get_config(name).preprocessor if name in list_configs() else None
    if fields.get("preprocessor", own) in IMAGENET_PREPROCESSORS:
        return imagenet | cifar
    return cifar | imagenet


def _require_fitting(config, dataset):
    """Checks that a config takes a data set's images.

    Raises:
      SettingError: it does not.
    """
    if dataset == IMAGENET.name:
        options.require_preprocessor(config, IMAGENET_PREPROCESSORS, imagenet_train.DEFAULT_MODEL)
    else:
        options.require_preprocessor(config, CIFAR_PREPROCESSORS, cifar_train.DEFAULT_MODEL)
        cifar_train.require_size(config, dataset)
