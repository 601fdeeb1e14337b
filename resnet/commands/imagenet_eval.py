"""Evaluates checkpoints of an ImageNet experiment, on a GPU of their own if there is one.

Examples:

    ./run_imagenet_eval.py --id EXP
    ./run_imagenet_eval.py --id EXP --ckpt_num 5000
    CUDA_VISIBLE_DEVICES=4 ./run_imagenet_eval.py --id EXP --follow

`resnet evaluate` is the same. Prints top-1 and top-5 accuracy on 100 batches of training images
and on every validation image, and appends them to the experiment's logs. Experiments on other
data sets are evaluated by the command that trains them, with --restore --eval_only.
"""

from resnet.commands import options
from resnet.commands.imagenet_train import RESULTS, define_data_dir
from resnet.data.registry import IMAGENET
from resnet.errors import UsageError

ESSENTIAL = ("id", "ckpt_num", "follow", "data_dir")


def define_flags(flags):
    """Defines the command's flags."""
    options.define_experiment_flags(flags, RESULTS, "Experiment to evaluate.")
    define_data_dir(flags)
    flags.integer("Experiment", "ckpt_num", "Step to evaluate.", default_text="the newest")
    flags.switch(
        "Experiment", "follow", "Evaluate each checkpoint as it comes, until training is finished."
    )
    for name in ("eval_images", "num_gpu", "logical_cpus"):
        flags.setting(options.OPTIONS[name])


def main(flags):
    """Evaluates one checkpoint or, with --follow, all."""
    from resnet.data.imagenet.input import open_imagenet
    from resnet.training.evaluator import LOGGED, Evaluator
    from resnet.training.experiment import load_experiment
    from resnet.training.placement import place
    from resnet.weights.checkpoint import list_checkpoints

    if not flags.id:
        raise UsageError("--id is needed: the experiment to evaluate")
    if flags.follow and flags.ckpt_num is not None:
        raise UsageError(f"--follow and --ckpt_num {flags.ckpt_num} exclude each other")
    experiment = load_experiment(flags.id, flags.results, flags.logs)
    if experiment.options.dataset != IMAGENET.name:
        raise UsageError(
            f"experiment {experiment.id!r} trains on {experiment.options.dataset}, not on "
            f"{IMAGENET.name}: give the --id and --results of an ImageNet experiment"
        )
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
    imagenet = open_imagenet(flags.data_dir, experiment.config.num_classes, tuple(LOGGED))
    evaluator = Evaluator(experiment, imagenet, placement, flags.line, flags.eval_images)
    print(f"evaluating {experiment.config.name} on {placement}", flush=True)
    if flags.follow:
        print(f"following {experiment.id}", flush=True)
        evaluator.follow()
    else:
        evaluator.evaluate(step, steps[step])
