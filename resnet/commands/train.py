"""What a training command does: flags -> config -> data -> train_and_evaluate."""

import contextlib
import dataclasses
from collections.abc import Callable

from resnet.commands import options
from resnet.commands.beginning import new_experiment, removed_if_it_fails
from resnet.commands.restoring import (
    go_back,
    require_rest,
    restored_experiment,
    started_experiment,
)
from resnet.commands.summary import summary
from resnet.commands.trial import predicted_memory, smoke_test, time_steps
from resnet.errors import DataError, UsageError
from resnet.files import remove_leftovers
from resnet.models.layers import MOVING_AVERAGE_DECAY
from resnet.ownership import owned
from resnet.plurals import counted
from resnet.processor import is_slow_in_bfloat16
from resnet.training.experiment import new_folders
from resnet.training.fitting import require_fitting
from resnet.training.hosts import naming_lost_hosts
from resnet.training.interrupts import stop_requests
from resnet.training.memory import naming_memory, require_memory
from resnet.training.placement import Hosts, find_hosts, place
from resnet.training.train import evaluate_trained, train_and_evaluate

FEW_STEPS = 100  # of a fine-tuning
SLOW_BFLOAT16 = (
    "this processor has no AVX-512: bfloat16 saves memory here, and takes somewhat longer than "
    "float32; a new experiment trains sooner without --dtype bfloat16"
)
SLOW_START = (
    "XLA compiles the step before the first one is made, which takes a minute or so; steps are "
    "faster for it (--jit off trains without)"
)


@dataclasses.dataclass(frozen=True)
class Task:
    """What one training command differs in from another.

    default_model: name of a config.
    num_classes: {data set: number of classes, or None: the config's own}.
    preprocessors: the config's choices that go with its data.
    num_images: (config, RunOptions, the Experiment as it was started or None) -> how many images
      train.
    load: (experiment) -> the data; raises before training starts if it does not fit.
    make_feed: (data, experiment, is_chief) -> data.feed.Feed, once the experiment is saved.
    finish: ({name: Accuracy}, experiment), the command's last words.
    sample: (data) -> a small part of it.
    require_data: (experiment), which raises DataError where a training would find no data; for what
      needs none of it.
    all_gpus: whether --num_gpu defaults to all GPUs rather than one.
    """

    default_model: str
    num_classes: dict
    preprocessors: tuple
    num_images: Callable
    load: Callable
    make_feed: Callable
    finish: Callable
    sample: Callable
    require_data: Callable = lambda experiment: None
    all_gpus: bool = False


def run_training(task, flags):
    """Trains, or with --dry_run says what would be trained."""
    hosts = find_hosts()
    _require_consistent_flags(flags)
    started = started_experiment(task, flags) if flags.restore else None
    experiment = (
        restored_experiment(task, flags, started) if started else new_experiment(task, flags, hosts)
    )
    if started and not _only_evaluates(flags):
        require_rest(experiment, flags)
    resume = options.resume_command(flags, experiment)
    # What saves nothing may end at once.
    is_trained = not (flags.dry_run or _only_evaluates(flags)) or flags.time
    stops = stop_requests() if is_trained else contextlib.nullcontext()
    with naming_lost_hosts(hosts, experiment.results, resume), stops as stop:
        _run(task, flags, experiment, started, Hosts() if flags.dry_run else hosts, resume, stop)


def _run(task, flags, experiment, started, hosts, resume, stop):
    config, run = experiment.config, experiment.options
    placement = place(run.num_gpu, run.logical_cpus, task.all_gpus, hosts)
    replicas = "GPUs" if placement.uses_gpu else "replicas"
    shares = {"hosts": len(placement.hosts), replicas: len(placement.devices)}
    if not _only_evaluates(flags):
        options.require_division(config, run, shares)
    if task.all_gpus and not placement.uses_gpu:
        print("no GPU is visible or asked for: training on the CPU", flush=True)
    jit = options.resolve_jit(run.jit, placement)
    if not _only_evaluates(flags):  # before a restored run's changes are noted
        require_fitting(config, run, jit, placement.num_replicas)
    print(f"experiment {experiment.id}", flush=True)
    _say_if_slow(run.dtype, jit, placement)
    if flags.dry_run:
        print(summary(experiment, placement), flush=True)
        require_memory(experiment, placement)
        print(f"memory:            {predicted_memory(experiment, placement)}", flush=True)
        if flags.time:
            time_steps(task, experiment, task.load(experiment), placement, jit, stop)
            return
        try:
            task.require_data(experiment)
        except DataError as error:
            print(f"notice: {error}", flush=True)
        return
    experiment.make_network(placement.num_replicas)  # raises before any data is read
    if not (flags.smoke_test or _only_evaluates(flags)):
        require_memory(experiment, placement)
    with naming_memory(experiment, placement):
        _compute(task, flags, experiment, started, placement, jit, resume, stop)


def _compute(task, flags, experiment, started, placement, jit, resume, stop):
    """Reads the data, and does with it what the flags ask for."""
    data = task.load(experiment)
    if stop:
        raise KeyboardInterrupt  # nothing has begun
    if flags.smoke_test:
        smoke_test(task, flags, experiment, task.sample(data), placement, jit, stop)
        return
    if _only_evaluates(flags):
        _evaluate(task, experiment, data, placement, flags.best)
        return
    print(summary(experiment, placement), flush=True)
    _say_if_short(experiment)
    is_chief = placement.hosts.is_chief
    owner = _alone(experiment, started, flags.restore_step)
    with owner if is_chief else contextlib.nullcontext():
        feed = task.make_feed(data, experiment, is_chief)
        results = train_and_evaluate(experiment, feed, placement, jit, flags.line, resume, stop)
    task.finish(results, experiment)


def _say_if_slow(dtype, jit, placement):
    """Says if this machine is slow in bfloat16, or a training slow to begin."""
    if dtype == "bfloat16" and not placement.uses_gpu and is_slow_in_bfloat16():
        print(f"notice: {SLOW_BFLOAT16}", flush=True)
    if jit and placement.uses_gpu:
        print(f"notice: {SLOW_START}", flush=True)


def _say_if_short(experiment):
    """Says of a training whether it ends before batch norm's averages have forgotten its start.

    The weights' average need not be named: its decay is less at first. From trained weights, there
    is less to forget.
    """
    if experiment.options.init_from:
        if experiment.num_steps < FEW_STEPS:
            print(
                f"notice: this training makes {counted(experiment.num_steps, 'update')}, which is "
                "little from trained weights, too: a smaller --batch_size or more --num_epochs "
                "make more",
                flush=True,
            )
        return
    enough = round(5 / (1 - MOVING_AVERAGE_DECAY))  # steps, which leave a hundredth of it
    if experiment.num_steps < enough:
        print(
            f"notice: batch norm's averages (decay {MOVING_AVERAGE_DECAY}) remember the start for "
            f"some {enough} steps, and this training has {experiment.num_steps}: accuracy in "
            "evaluations may be far below that of training",
            flush=True,
        )


@contextlib.contextmanager
def _alone(experiment, started, restore_step):
    """Begins or continues an experiment, which no other process works on meanwhile.

    Checkpoints behind `restore_step`, if it is given, are set aside.

    Raises:
      UsageError: one does, or has begun it since.
    """
    folders = dict.fromkeys(path.absolute() for path in (experiment.results, experiment.logs))
    with contextlib.ExitStack() as stack:
        for folder in folders:  # which may be one
            stack.enter_context(owned(folder))
            remove_leftovers(folder)
        start = contextlib.nullcontext()
        if started:
            experiment.note_changes(started)
            if restore_step is not None:
                go_back(experiment, restore_step)
        else:
            new_folders(experiment.id, (experiment.results.parent, experiment.logs.parent))
            start = removed_if_it_fails(experiment)
        with start:
            yield


def evaluate_experiment(task, experiment, best, step=None):
    """Evaluates a trained experiment's checkpoint, on devices of its options.

    Args:
      task: Task.
      experiment: Experiment.
      best: whether the checkpoint of the best evaluation, rather than the newest.
      step: of the checkpoint; default: the newest.
    """
    placement = place(experiment.options.num_gpu, experiment.options.logical_cpus, task.all_gpus)
    _evaluate(task, experiment, task.load(experiment), placement, best, step)


def _evaluate(task, experiment, data, placement, best, step=None):
    feed = task.make_feed(data, experiment, placement.hosts.is_chief)
    task.finish(evaluate_trained(experiment, feed, placement, best, step), experiment)


def _require_consistent_flags(flags):
    """Checks flags that go with others.

    Raises:
      UsageError: one is without its other, or beside one that excludes it.
    """
    if "best" in flags and flags.best and not flags.eval_only:
        raise UsageError("--best says what --eval_only evaluates: give both, or leave it out")
    if _only_evaluates(flags) and not flags.restore:
        raise UsageError("--eval_only needs --restore and --id: the experiment to evaluate")
    if flags.time and not flags.dry_run:
        raise UsageError("--time times what --dry_run tells of: give both, or leave it out")
    if flags.restore_step is not None and (not flags.restore or _only_evaluates(flags)):
        raise UsageError("--restore_step says where --restore goes on training: give it with that")
    if flags.restore and flags.smoke_test:
        raise UsageError("--smoke_test tries new experiments: leave it or --restore out")


def _only_evaluates(flags):
    """Whether --eval_only is there and given."""
    return "eval_only" in flags and flags.eval_only
