"""Evaluates an experiment's checkpoints, or trained weights, on the images of their data set.

Examples:

    resnet evaluate --id EXP
    resnet evaluate --id EXP --ckpt_num 5000
    CUDA_VISIBLE_DEVICES=4 ./run_imagenet_eval.py --id EXP --follow
    resnet evaluate --model revnet-38 --weights cifar-10 --test_time_flip

`./run_imagenet_eval.py` is the same. Of ImageNet, prints top-1 and top-5 accuracy on 100 batches of
training images and on every validation image, and appends them to the experiment's logs. Of
CIFAR, own images, tfds: data sets and the embedded one, prints the accuracy on the test images.
"""

import dataclasses

from resnet.commands import cifar_train, imagenet_train, options
from resnet.data.registry import STREAMED
from resnet.errors import UsageError

ESSENTIAL = ("id", "ckpt_num", "follow", "best", "model", "weights", "data_dir", "data_folder")


def define_flags(flags):
    """Defines the command's flags."""
    options.define_experiment_flags(flags, None, "Experiment to evaluate.")
    options.define_best_flag(flags)
    options.define_weights_flags(flags)
    imagenet_train.define_data_dir(flags)
    cifar_train.define_data_folder(flags)
    flags.integer("Experiment", "ckpt_num", "Step to evaluate.", default_text="the newest")
    flags.switch(
        "Experiment", "follow", "Evaluate each checkpoint as it comes, until training is finished."
    )
    for name in ("eval_images", "test_time_flip", "num_gpu", "logical_cpus"):
        flags.setting(options.OPTIONS[name])


def main(flags):
    """Evaluates one checkpoint or, with --follow, all; or trained weights."""
    from resnet.training.experiment import find_results, load_experiment

    pretrained = options.trained_weights(flags, "evaluate")
    if pretrained:
        options.require_no(
            flags, ("ckpt_num", "follow", "data_dir", "results", "logs"), "trained weights"
        )
        cifar_train.evaluate_weights(flags, pretrained)
        return
    if flags.follow and flags.ckpt_num is not None:
        raise UsageError(f"--follow and --ckpt_num {flags.ckpt_num} exclude each other")
    if flags.best and flags.ckpt_num is not None:
        raise UsageError(f"--best and --ckpt_num {flags.ckpt_num} exclude each other")
    experiment = load_experiment(flags.id, flags.results or find_results(flags.id), flags.logs)
    dataset = experiment.options.dataset
    if dataset in STREAMED:
        options.require_no(
            flags, ("best", "data_folder"), f"experiments on {dataset}, such as {flags.id}"
        )
        _evaluate_streamed(flags, experiment)
    else:
        options.require_no(
            flags, ("follow", "data_dir"), f"experiments on {dataset}, such as {flags.id}"
        )
        cifar_train.evaluate(flags, experiment)


def _evaluate_streamed(flags, experiment):
    from resnet.ownership import owned
    from resnet.training.evaluator import LOGGED, Evaluator
    from resnet.training.placement import place
    from resnet.weights.checkpoint import list_checkpoints

    steps = list_checkpoints(experiment.results)
    step = max(steps, default=None) if flags.ckpt_num is None else flags.ckpt_num
    if step not in steps and not flags.follow:
        known = f"it has steps {', '.join(map(str, steps))}" if steps else "it has none yet"
        asked = "checkpoint" if flags.ckpt_num is None else f"checkpoint of step {step}"
        raise UsageError(
            f"no {asked} in {str(experiment.results)!r}: {known}. Train first, or wait for "
            "checkpoints with --follow"
        )
    placement = place(flags.num_gpu, flags.logical_cpus)
    dataset = experiment.options.dataset
    entry, folder = STREAMED[dataset], imagenet_train.data_dir(flags, dataset)
    data = entry.load(folder, experiment.config.num_classes, tuple(LOGGED))
    run = dataclasses.replace(
        experiment.options, eval_images=flags.eval_images, test_time_flip=bool(flags.test_time_flip)
    )
    experiment = dataclasses.replace(experiment, options=run)
    with owned(experiment.logs / "evaluation"):  # one process adds to its logs
        evaluator = Evaluator(experiment, entry, data, placement, flags.line)
        print(f"evaluating {experiment.config.name} on {placement}", flush=True)
        if flags.follow:
            print(f"following {experiment.id}", flush=True)
            evaluator.follow()
        else:
            evaluator.evaluate(step, steps[step])
