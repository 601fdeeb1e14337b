"""The training loop: train, log, evaluate, save, and go on where a run stopped."""

import contextlib
import dataclasses
import time
from collections.abc import Callable

import tensorflow as tf

from resnet.errors import DataError, UserError
from resnet.files import write_json
from resnet.process_memory import peak_over, return_free_memory, size_now
from resnet.provenance import provenance
from resnet.training.bad_steps import BadSteps
from resnet.training.evaluation import Evaluation, first_images
from resnet.training.hosts import AGREE_EVERY, Agreement
from resnet.training.interrupts import stop_requests
from resnet.training.reporting import Reporter
from resnet.training.result import read_result
from resnet.training.state import Training
from resnet.weights.checkpoint import list_checkpoints
from resnet.weights.folder import RESULT
from resnet.weights.trained import restore_trained


class InterruptedRunError(UserError):
    """Training was asked to stop, and has saved."""

    prefix = ""  # it is no error

    def __init__(self, message, signal_number):
        super().__init__(message)
        self.exit_code = 128 + signal_number  # the shell's convention


@dataclasses.dataclass(frozen=True)
class Hook:
    """What happens every so many steps, once they are done."""

    every: int
    act: Callable[[], None]
    at_end: bool  # whether at the last step too; if not, never there

    def is_due(self, step, last_step):
        """Whether it is to happen at a step."""
        return self.at_end if step == last_step else step % self.every == 0


def train_and_evaluate(experiment, feed, placement, jit, command, resume, stop=None):
    """Trains an experiment to its end and evaluates it.

    Args:
      experiment: Experiment, saved.
      feed: data.feed.Feed.
      placement: Placement.
      jit: whether to compile with XLA.
      command: this run's command line, for the logs.
      resume: command line that continues the run, named when it is interrupted.
      stop: StopRequest of signals that may have come already; default: of those from now on.

    Returns:
      {name: Accuracy} of the feed's first evaluation; {} if it has none. Where training is past
        its end already, on its way to a later one, nothing is kept of it.

    Raises:
      UserError: the loss or a gradient is not finite, a file cannot be written, or
        (InterruptedRunError) a signal asked to stop; in every case the last checkpoint
        is complete.
    """
    config, options = experiment.config, experiment.options
    last_step, is_chief = experiment.num_steps, placement.hosts.is_chief
    training = Training(experiment, feed, placement, jit)
    ended = _record_of(experiment.results / RESULT, training.step, last_step)
    is_past = training.step > last_step
    agreement = Agreement(placement)
    agreement.require_same_start(experiment, training.step, training.model)
    if training.step < last_step:
        training.open_batches()
    evaluations = Evaluations(feed, training.evaluated_model, options)
    watched = next(iter(feed.evaluations), None)  # logged while training, too
    reporter = Reporter(
        experiment,
        command,
        training.step,
        is_chief,
        evaluates=watched is not None,
        checks_gradients=bool(options.check_gradients_every),
    )
    return_free_memory()
    size = size_now()

    def log():
        rate = config.learning_rate(training.step - 1)
        reporter.log_interval(training.step, rate, lambda: _peak(size, placement))

    def evaluate():
        start = time.perf_counter()
        accuracy = evaluations(watched, stop, shows_progress=is_chief)
        if accuracy and not is_past:
            reporter.write("valid_acc", training.step, accuracy.top1)
            reporter.write("eval_seconds", training.step, time.perf_counter() - start)
            if options.keep_best and is_chief and not ended:
                training.save_if_best(accuracy)
        return accuracy

    def evaluate_watched():
        with reporter.paused():
            accuracy = evaluate()
        if accuracy:
            reporter.say(training.step, f"{watched} accuracy {accuracy.top1:.3f}")

    def evaluate_if_missed():
        """Evaluates what a stop in the last step before has kept from being evaluated."""
        step = training.step
        is_due = step and watched and evaluation.is_due(step, last_step)
        if is_due and not reporter.has("valid_acc", step):
            evaluate_watched()

    def save():
        try:
            reporter.sync()
            reporter.keep_window(training.step)  # before the checkpoint that goes with it
        finally:  # whatever becomes of the logs
            training.save()

    evaluation = Hook(config.evaluate_every, evaluate_watched, at_end=False)
    hooks = [Hook(config.log_every, log, at_end=True)]
    if watched:
        hooks.append(evaluation)
    hooks.append(Hook(config.save_every, save, at_end=True))
    is_alone = len(placement.hosts) == 1
    agree = Hook(1 if is_alone else AGREE_EVERY, lambda: None, at_end=False)
    pauses = hooks if is_alone else [*hooks, agree]
    signals = contextlib.nullcontext(stop) if stop is not None else stop_requests()
    require_good = BadSteps(training, reporter.say)
    with signals as stop, reporter:
        evaluate_if_missed()
        if training.step and agreement.any_host(bool(stop)):  # before a step that nobody evaluated
            raise _interrupted(training.step, resume, stop)
        while training.step < last_step:
            _advance(training, reporter, last_step, pauses, require_good)
            _act([hook for hook in hooks if hook.is_due(training.step, last_step)])
            # Read once: a signal may come at any time, and to one host alone.
            if agree.is_due(training.step, last_step) and agreement.any_host(bool(stop)):
                if training.step % config.save_every:
                    save()
                raise _interrupted(training.step, resume, stop)
        if not list_checkpoints(experiment.results):
            save()
        used = {"training_seconds": reporter.training_seconds(), "peak_mb": reporter.peak_mb()}
        reporter.end_training()
        results = {watched: evaluate()} if watched else {}
        used["evaluation_seconds"] = reporter.evaluation_seconds()
        reporter.flush()
        if None in results.values():
            raise _interrupted(training.step, resume, stop)
    if is_chief and not is_past:
        accuracies = {name: accuracy.to_json() for name, accuracy in results.items()}
        content = {"step": training.step, "accuracy": accuracies}
        content["parameters"] = training.model.num_parameters
        made_by = {"commands": reporter.commands()} | provenance(placement.gpu_names)
        _write_result(experiment.results / RESULT, content | used | made_by, ended)
    return results


def _record_of(path, step, last_step):
    """What result.json says of a run that has ended at this step; None of one that has not."""
    with contextlib.suppress(FileNotFoundError, DataError):
        record = read_result(path)
        return record if step >= last_step and record["step"] == step else None
    return None


def _write_result(path, content, before):
    """Writes result.json; of a run that had ended before, only what it has looked at anew counts.

    How it was made stays, and so does an accuracy of more images, or what else is known of as many.
    """
    if before:
        accuracies = {
            name: _of_more_images(before["accuracy"].get(name, {}), found)
            for name, found in content["accuracy"].items()
        }
        missing = {name: value for name, value in content.items() if name not in before}
        content = before | missing | {"accuracy": accuracies}
    write_json(path, content)


def _of_more_images(before, found):
    """Of two accuracies, JSON objects, the one of more images; of as many, what either says."""
    counts = [one.get("num_images", 0) for one in (before, found)]
    return before | found if counts[0] == counts[1] else (before, found)[counts[1] > counts[0]]


def _act(hooks):
    """Does what is due; what fails stops none of the others, such as saving, and is raised then."""
    failure = None
    for hook in hooks:
        try:
            hook.act()
        except UserError as error:
            failure = failure or error
    if failure:
        raise failure


def _advance(training, reporter, last_step, hooks, require_good):
    """Makes one step, or as many as a call may take before a hook is due."""
    if training.is_check_due:
        batch = training.next_batch()
        with reporter.paused():
            drift = training.check_gradients(batch)
        metrics = training.advance(1, batch)
        require_good(metrics, 1)
        reporter.add(metrics)
        reporter.log_drift(training.step, drift)
        return
    options, count = training.experiment.options, 1
    every = options.check_gradients_every
    while count < options.steps_per_call:
        step = training.step + count
        if step == last_step or any(hook.is_due(step, last_step) for hook in hooks):
            break
        if every and step % every == 0:
            break
        count += 1
    metrics = training.advance(count)
    require_good(metrics, count)
    reporter.add(metrics, count)


class Evaluations:
    """A model on a feed's evaluations."""

    def __init__(self, feed, model, options):
        """`options`: RunOptions, for how many images, and whether their mirror images count."""
        self._feed, self._num_images = feed, options.eval_images
        self._evaluation = Evaluation(model, flips=options.test_time_flip)

    def __call__(self, name, stop=False, shows_progress=True):
        """Accuracy of one of them; None if `stop` comes to be true meanwhile."""
        batches = first_images(self._feed.evaluations[name](), self._num_images)
        return self._evaluation(batches, stop, name if shows_progress else None)


def evaluate_trained(experiment, feed, placement, best=False, step=None):
    """Evaluates a trained experiment's checkpoint; trains nothing.

    Args:
      experiment: Experiment.
      feed: data.feed.Feed.
      placement: Placement.
      best: whether the checkpoint of the best evaluation, rather than the newest.
      step: of the checkpoint; default: the newest.

    Returns:
      {name: Accuracy} of the feed's evaluations.

    Raises:
      UserError: there is no checkpoint.
    """
    with placement.strategy.scope():
        model = experiment.make_model(placement.num_replicas)
    print(f"restored step {restore_trained(experiment, model, best, step)}", flush=True)
    evaluations = Evaluations(feed, model, experiment.options)
    return {name: evaluations(name) for name in feed.evaluations}


def _interrupted(step, resume, stop):
    """The error of a run that was asked to stop."""
    return InterruptedRunError(
        f"stopped at step {step}, which is saved. Continue with: {resume}",
        stop.signal_number or stop.BY_ANOTHER_HOST,
    )


def _peak(size, placement):
    """Peak memory of training in MB of 2^20 bytes: a GPU's, or the process's over `size`."""
    if placement.uses_gpu:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return peak_over(size)
