"""What a training command does: flags -> config -> data -> train_and_evaluate."""

import contextlib
import dataclasses
import datetime
import pathlib
import re
import statistics
import tempfile
import time
from collections.abc import Callable

from resnet.commands import options
from resnet.commands.summary import summary
from resnet.configs import list_configs
from resnet.errors import DataError, UsageError, UserError
from resnet.files import remove, remove_leftovers
from resnet.models.layers import MOVING_AVERAGE_DECAY
from resnet.ownership import owned
from resnet.plurals import counted
from resnet.pretrained import PREFIX, by_reference
from resnet.processor import is_slow_in_bfloat16
from resnet.settings import SettingError
from resnet.training.conf import CONF, read_conf, read_latest
from resnet.training.evaluator import drop_later
from resnet.training.experiment import (
    Experiment,
    load_experiment,
    new_folders,
    new_id,
    require_plain,
)
from resnet.training.hosts import naming_lost_hosts
from resnet.training.interrupts import stop_requests
from resnet.training.memory import naming_memory, require_memory
from resnet.training.metrics import LOSS
from resnet.training.placement import Hosts, find_hosts, place
from resnet.training.state import Training
from resnet.training.step_memory import experiment_report
from resnet.training.train import InterruptedRunError, evaluate_trained, train_and_evaluate
from resnet.weights.checkpoint import list_checkpoints, set_aside
from resnet.weights.folder import RESULT

SMOKE_TEST_STEPS = 2
FEW_STEPS = 100  # of a fine-tuning
WARM_UP_STEPS, TIMED_STEPS = 3, 10  # of --time
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
    num_images: (config, RunOptions) -> how many images train.
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
    started = _started(task, flags) if flags.restore else None
    experiment = _restored(task, flags, started) if started else _new(task, flags, hosts)
    if started and not _only_evaluates(flags):
        reached = _reached(experiment, flags.restore_step)
        if flags.is_given("max_num_steps"):
            _require_later_end(experiment, reached)
            _say_if_past_the_end(experiment)
        else:
            _say_if_at_the_end(experiment, reached)
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
    options.require_division(config, run, shares)
    if task.all_gpus and not placement.uses_gpu:
        print("no GPU is visible or asked for: training on the CPU", flush=True)
    jit = options.resolve_jit(run.jit, placement)
    print(f"experiment {experiment.id}", flush=True)
    _say_if_slow(run.dtype, jit, placement)
    if flags.dry_run:
        print(summary(experiment, placement), flush=True)
        require_memory(experiment, placement)
        print(f"memory:            {_memory(experiment, placement)}", flush=True)
        if flags.time:
            _time(task, experiment, task.load(experiment), placement, jit, stop)
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
        _smoke_test(task, flags, experiment, task.sample(data), placement, jit, stop)
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
                _go_back(experiment, restore_step)
        else:
            new_folders(experiment.id, (experiment.results.parent, experiment.logs.parent))
            start = _removed_if_it_fails(experiment)
        with start:
            yield


def _go_back(experiment, step):
    """Sets aside what is of later steps than this: rows of accuracies, result.json, checkpoints."""
    drop_later(experiment.logs, step)
    place = set_aside(experiment.results, step, also=(RESULT,))
    if place:
        print(f"later checkpoints are in {place} now", flush=True)


@contextlib.contextmanager
def _removed_if_it_fails(experiment):
    """Begins an experiment; what fails before its training has logs leaves no folder of its own."""
    was_there = experiment.results.exists()
    try:
        experiment.save()
        yield
    except BaseException:
        if not (was_there or any(experiment.logs.glob("*.csv"))):
            remove(experiment.results)
        raise


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


def _reached(experiment, restore_step):
    """The step at which a restored run goes on.

    Raises:
      UsageError: it has no checkpoint of the step that is asked for.
    """
    steps = list(list_checkpoints(experiment.results))
    if restore_step is None:
        return max(steps, default=0)
    if restore_step not in steps:
        known = f"of steps {', '.join(map(str, steps[-10:]))}" if steps else "none"
        raise UsageError(
            f"--restore_step is {restore_step}, but the last checkpoints in {experiment.results} "
            f"are {known}: give one of these"
        )
    return restore_step


def _require_later_end(experiment, reached):
    """Checks that a restored run is not asked to end before where it is.

    Raises:
      SettingError: it is.
    """
    if experiment.options.max_num_steps < reached:
        raise SettingError(
            f"--max_num_steps is {experiment.options.max_num_steps}, but {experiment.id} has "
            f"reached step {reached}: give a later step, or evaluate it with --eval_only",
            "max_num_steps",
        )


def _say_if_past_the_end(experiment):
    """Says where a restored run is asked to go on behind the end that it was started with."""
    asked, end = experiment.options.max_num_steps, experiment.config.num_steps
    if asked > end:
        print(
            f"notice: --max_num_steps is {asked}, but {experiment.id} ends at step {end}, its "
            f"num_steps: {_to_train_more(experiment)}",
            flush=True,
        )


def _say_if_at_the_end(experiment, reached):
    """Says where a restored run has nothing left to train."""
    if reached < experiment.num_steps:
        return
    end, past, more = experiment.num_steps, "", _to_train_more(experiment)
    if end < experiment.config.num_steps:
        last = read_latest(experiment.results / CONF).get("max_num_steps")
        past = f" (a later run was given --max_num_steps {last})" if last else ""
        more = "give a later --max_num_steps to go on"
    print(
        f"notice: {experiment.id} has reached step {reached}, and ends at step {end}{past}: "
        f"nothing is left to train; {more}",
        flush=True,
    )


def _to_train_more(experiment):
    """What helps where num_steps are done: a schedule cannot be made longer behind its end."""
    return f"for more, start a new experiment from its weights, with --init_from {experiment.id}"


def _only_evaluates(flags):
    """Whether --eval_only is there and given."""
    return "eval_only" in flags and flags.eval_only


def _smoke_test(task, flags, experiment, data, placement, jit, stop):
    """Trains and evaluates on a few images, in a folder that is then removed."""
    num_images = 2 * placement.num_replicas * experiment.options.num_pass
    config = dataclasses.replace(
        experiment.config, batch_size=num_images, evaluation_batch_size=num_images
    )
    small = dataclasses.replace(
        experiment,
        config=config,
        options=dataclasses.replace(experiment.options, max_num_steps=SMOKE_TEST_STEPS),
    )
    with _in_passing(small) as small:
        feed = task.make_feed(data, small, is_chief=True)
        try:
            train_and_evaluate(small, feed, placement, jit, flags.line, flags.line, stop)
        except InterruptedRunError:  # it says what is saved, and is not to stay
            raise KeyboardInterrupt from None
    print(f"smoke test passed: {experiment.config.name}", flush=True)


def _memory(experiment, placement):
    """What a step takes on one device, in words."""
    report = experiment_report(experiment, placement.num_replicas)
    return (
        f"about {report.total_bytes / 1e6:.0f} MB for a step on a device (predicted): tensors take "
        f"{report.peak_bytes / 1e6:.0f} MB {report.moment}, and {report.kept_bytes / 1e6:.0f} MB "
        "wait for the backward pass; resnet memory lists them"
    )


def _time(task, experiment, data, placement, jit, stop):
    """Times a few steps, in a folder that is then removed, and says how long all of them take."""
    with _in_passing(experiment) as passing:
        feed = task.make_feed(data, passing, is_chief=True)
        training = Training(passing, feed, placement, jit)
        times = []
        for _ in range(WARM_UP_STEPS + TIMED_STEPS):
            if stop:
                raise KeyboardInterrupt
            start = time.perf_counter()
            float(training.advance(1)[LOSS])  # waits for the device
            times.append(time.perf_counter() - start)
    seconds = statistics.median(times[WARM_UP_STEPS:])
    whole = datetime.timedelta(seconds=round(seconds * experiment.num_steps))
    print(
        f"time:              {seconds:.3g} s a step, {experiment.config.batch_size / seconds:.0f} "
        f"images/s, the median of {TIMED_STEPS} steps; {whole} for {experiment.num_steps:,} steps, "
        "evaluations apart"
    )


@contextlib.contextmanager
def _in_passing(experiment):
    """The experiment, begun in a folder that is removed when the context ends."""
    source = experiment.options.init_from
    if source and not source.startswith(PREFIX):  # an absolute path stays one beside any experiment
        source = str((experiment.results.parent / source).resolve())
    with tempfile.TemporaryDirectory() as folder:
        results, logs = (pathlib.Path(folder) / name for name in ("results", "logs"))
        begun = dataclasses.replace(
            experiment,
            options=dataclasses.replace(experiment.options, init_from=source),
            results=results / experiment.id,
            logs=logs,
        )
        begun.save()
        try:
            yield begun
        except UserError as error:  # what it names in the folder goes with it
            error.args = (re.sub(rf"; more is in {re.escape(folder)}\S*\.(?= )", ".", str(error)),)
            raise


def _restored(task, flags, started):
    return options.restored_options(
        flags, started, lambda: task.num_images(started.config, started.options)
    )


def _new(task, flags, hosts):
    default_model = _default_model(task, flags)
    config, run = options.resolve_config(flags, default_model, task.num_classes)
    options.require_preprocessor(config, task.preprocessors, task.default_model)
    run = options.resolve_options(config, run, flags.given(options.OPTIONS))
    config = options.in_steps(config, lambda: task.num_images(config, run))
    if len(hosts) > 1 and not flags.id:
        raise UsageError(f"--id is needed with {len(hosts)} hosts: the same one on each of them")
    experiment_id = flags.id if flags.is_given("id") else new_id(run.dataset, config.name)
    require_plain(experiment_id)
    if not hosts.is_chief or flags.dry_run:
        folders = [pathlib.Path(root) / experiment_id for root in (flags.results, flags.logs)]
    else:
        folders = new_folders(experiment_id, (flags.results, flags.logs))
    experiment = Experiment(experiment_id, config, run, *folders)
    return _prepared_as_source(experiment, flags, task.preprocessors)


def _default_model(task, flags):
    """The named config of a run that names none: the one whose weights it starts from, if any."""
    source = flags.init_from
    if not (source and source.startswith(PREFIX)) or flags.model or flags.config:
        return task.default_model
    model = by_reference(source).model
    if model == task.default_model or model not in list_configs():
        return task.default_model
    print(f"model {model}, as the weights are of", flush=True)
    return model


def _prepared_as_source(experiment, flags, preprocessors):
    """The experiment, with images prepared as for the weights that it starts from.

    What a --config file says counts before that, and is said.
    """
    before = experiment.init_preprocessor()  # raises before anything is saved
    own = experiment.config.preprocessor
    if before in (None, own) or before not in preprocessors:
        return experiment
    if flags.config and "preprocessor" in read_conf(flags.config)[0]:
        print(
            f"notice: images are prepared as {own!r} here, and were as {before!r} for the weights "
            f"of {experiment.options.init_from}",
            flush=True,
        )
        return experiment
    print(f"images are prepared as for {experiment.options.init_from}: {before}", flush=True)
    config = dataclasses.replace(experiment.config, preprocessor=before)
    return dataclasses.replace(experiment, config=config)


def _started(task, flags):
    """The experiment of --id, as it was started."""
    if not flags.id:
        raise UsageError("--restore needs --id: the experiment to continue")
    experiment = load_experiment(flags.id, flags.results, flags.logs)
    if experiment.options.dataset not in task.num_classes:
        raise UsageError(
            f"experiment {experiment.id!r} trains on {experiment.options.dataset}, but this script "
            f"on {', '.join(task.num_classes)}: continue it with the script that began it"
        )
    return experiment
