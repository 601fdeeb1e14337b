"""A training that goes on: the experiment as it was started, its checkpoint and its end."""

from resnet.commands import options
from resnet.errors import UsageError
from resnet.settings import SettingError
from resnet.training.conf import CONF, read_latest
from resnet.training.evaluator import drop_later
from resnet.training.experiment import load_experiment
from resnet.weights.checkpoint import list_checkpoints, set_aside
from resnet.weights.folder import BEST, RESULT


def started_experiment(task, flags):
    """The experiment of --id, as it was started.

    Raises:
      UsageError: there is none, or another script's.
    """
    if not flags.id:
        raise UsageError("--restore needs --id: the experiment to continue")
    experiment = load_experiment(flags.id, flags.results, flags.logs)
    if experiment.options.dataset not in task.num_classes:
        raise UsageError(
            f"experiment {experiment.id!r} trains on {experiment.options.dataset}, but this script "
            f"on {', '.join(task.num_classes)}: continue it with the script that began it"
        )
    return experiment


def restored_experiment(task, flags, started):
    """The experiment as this run goes on with it: as `started`, with what flags may change."""
    return options.restored_options(
        flags, started, lambda: task.num_images(started.config, started.options, started)
    )


def require_rest(experiment, flags):
    """Checks the end of a restored run against where it is, and says what little is left.

    Raises:
      UsageError: there is no checkpoint to go on from, or it lies behind the end.
    """
    reached = _reached(experiment, flags.restore_step)
    if flags.is_given("max_num_steps"):
        _require_later_end(experiment, reached)
        _say_if_past_the_end(experiment)
    else:
        _say_if_at_the_end(experiment, reached)


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


def go_back(experiment, step):
    """Sets aside what is of later steps: rows of accuracies, result.json, checkpoints, the best."""
    drop_later(experiment.logs, step)
    also = [
        name
        for name, folder in ((RESULT, experiment.results), (BEST, experiment.results / BEST))
        if max(list_checkpoints(folder), default=0) > step
    ]
    place = set_aside(experiment.results, step, also)
    if place:
        print(f"later checkpoints are in {place} now", flush=True)
