"""The training loop: train, log, evaluate, save, and go on where a run stopped."""

import math

import tensorflow as tf

from resnet.configs import read_json
from resnet.data.feed import Share
from resnet.errors import DataError, UserError, message_of
from resnet.files import write_json
from resnet.process_memory import peak_over, size_now
from resnet.training.evaluation import Evaluation
from resnet.training.experiment import BEST, RESULT
from resnet.training.gradient_check import GradientCheck
from resnet.training.hosts import LOST_HOST, Agreement
from resnet.training.interrupts import stop_requests
from resnet.training.optimizer import Momentum
from resnet.training.reporting import Reporter
from resnet.training.steps import Steps
from resnet.weights.checkpoint import (
    init_from_checkpoint,
    list_checkpoints,
    remove_checkpoints,
    restore_checkpoint,
    save_checkpoint,
)
from resnet.weights.trained import restore_trained


class InterruptedRunError(UserError):
    """Training was asked to stop, and has saved."""

    def __init__(self, message, signal_number):
        super().__init__(message)
        self.exit_code = 128 + signal_number  # the shell's convention


def build(experiment, feed, placement, jit=False):
    """(model, optimizer, steps) of an experiment."""
    with placement.strategy.scope():
        model = experiment.make_model(placement.num_replicas)
        optimizer = Momentum(
            model.trainable_by_storage_name, experiment.config.momentum, experiment.config.nesterov
        )
    num_passes = experiment.options.num_pass
    steps = Steps(model, optimizer, placement.strategy, jit, num_passes, feed.prepare)
    return model, optimizer, steps


def share_of(experiment, placement):
    """The Share of a step's images that this host's replicas take."""
    return Share(
        experiment.config.batch_size // placement.num_replicas,
        len(placement.devices),
        len(placement.hosts),
        placement.hosts.index,
    )


def train_and_evaluate(experiment, feed, placement, jit, command, resume):
    """Trains an experiment to its end and evaluates it.

    Args:
      experiment: Experiment, saved.
      feed: data.feed.Feed.
      placement: Placement.
      jit: whether to compile with XLA.
      command: this run's command line, for the logs.
      resume: command line that continues the run, named when it is interrupted.

    Returns:
      {name: Accuracy} of the feed's evaluations.

    Raises:
      UserError: the loss is not finite, a file cannot be written, or
        (InterruptedRunError) a signal asked to stop; in every case the last checkpoint
        is complete.
    """
    config, options = experiment.config, experiment.options
    num_steps, is_chief = experiment.num_steps, placement.hosts.is_chief
    model, optimizer, steps = build(experiment, feed, placement, jit)
    evaluation = Evaluation(model)
    checkpoints = list_checkpoints(experiment.results)
    step = 0
    if checkpoints:
        step = restore_checkpoint(checkpoints[max(checkpoints)], model, optimizer)
        print(f"restored {checkpoints[max(checkpoints)]}", flush=True)
    elif options.init_from:
        _init_weights(experiment, model)
    agreement = Agreement(placement)
    agreement.require_same_start(experiment, step, model)

    def save(step):
        if is_chief:
            save_checkpoint(experiment.results, step, model, optimizer, config.seed)
            if options.keep_checkpoints:
                steps_kept = list(list_checkpoints(experiment.results))[-options.keep_checkpoints :]
                remove_checkpoints(experiment.results, steps_kept)

    def evaluate(name, reporter, stop):
        """Accuracy, None if asked to stop meanwhile; the feed's first evaluation is logged."""
        accuracy = evaluation(feed.evaluations[name](), stop)
        if accuracy and name == watched:
            reporter.write("valid_acc", step, accuracy.top1)
            if options.keep_best and is_chief:
                save_if_best(experiment, step, model, optimizer, accuracy.top1)
        return accuracy

    check_every, check = options.check_gradients_every, None
    if check_every:
        check = GradientCheck(steps)
    watched = next(iter(feed.evaluations), None)
    share = share_of(experiment, placement)
    batches = iter(
        placement.strategy.distribute_datasets_from_function(lambda _: feed.training(step, share))
    )
    reporter = Reporter(experiment, command, step, is_chief, watched is not None, check is not None)
    size = size_now()
    with stop_requests() as stop, reporter:
        while step < num_steps:
            rate = config.learning_rate(step)
            inputs, labels = _next_batch(batches)
            drift = None
            if check and step % check_every == 0:
                with reporter.paused():
                    drift = _checked(check, inputs, labels, step)
            metrics = _train_step(steps, inputs, labels, rate, step, options)
            step += 1
            _require_finite(metrics["loss"], step, experiment)
            reporter.add(metrics)
            if drift:
                reporter.log_drift(step, drift)
            is_last = step == num_steps
            if step % config.log_every == 0 or is_last:
                reporter.log_interval(step, rate, _peak(size, placement))
            if watched and step % config.evaluate_every == 0 and not is_last:
                with reporter.paused():
                    accuracy = evaluate(watched, reporter, stop)
                if accuracy:
                    reporter.say(step, f"{watched} accuracy {accuracy.top1:.3f}")
            # Read once: a signal may come at any time, and to one host alone.
            stopping = agreement.any_host(bool(stop))
            if step % config.save_every == 0 or is_last or stopping:
                save(step)
            if stopping and not is_last:
                raise _interrupted(step, resume, stop)
        if not list_checkpoints(experiment.results):
            save(step)
        used = {"training_seconds": reporter.training_seconds(), "peak_mb": reporter.peak_mb()}
        reporter.end_training()
        results = {name: evaluate(name, reporter, stop) for name in feed.evaluations}
        reporter.flush()
        if None in results.values():
            raise _interrupted(step, resume, stop)
    if is_chief:
        accuracies = {name: vars(accuracy) for name, accuracy in results.items()}
        parameters = {"parameters": model.num_parameters}
        write_json(
            experiment.results / RESULT, {"step": step, "accuracy": accuracies} | parameters | used
        )
    return results


def _interrupted(step, resume, stop):
    """The error of a run that was asked to stop."""
    return InterruptedRunError(
        f"stopped at step {step}, which is saved. Continue with: {resume}",
        stop.signal_number or stop.BY_ANOTHER_HOST,
    )


def save_if_best(experiment, step, model, optimizer, accuracy):
    """Keeps a checkpoint in best/, instead of the one there, if its accuracy is better."""
    folder = experiment.results / BEST
    if (folder / RESULT).exists():
        best = read_json(folder / RESULT)
        if best["step"] in list_checkpoints(folder) and accuracy <= best["accuracy"]:
            return
    save_checkpoint(folder, step, model, optimizer, experiment.config.seed)
    write_json(folder / RESULT, {"step": step, "accuracy": accuracy})
    remove_checkpoints(folder, [step])


def evaluate_trained(experiment, feed, placement, best=False):
    """Evaluates a trained experiment's checkpoint; trains nothing.

    Args:
      experiment: Experiment.
      feed: data.feed.Feed.
      placement: Placement.
      best: whether the checkpoint of the best evaluation, rather than the newest.

    Returns:
      {name: Accuracy} of the feed's evaluations.

    Raises:
      UserError: there is no checkpoint.
    """
    with placement.strategy.scope():
        model = experiment.make_model(placement.num_replicas)
    print(f"restored step {restore_trained(experiment, model, best)}", flush=True)
    evaluation = Evaluation(model)
    return {name: evaluation(batches()) for name, batches in feed.evaluations.items()}


def _init_weights(experiment, model):
    """Starts from the weights of the experiment that --init_from names."""
    prefix = experiment.init_checkpoint()
    left = init_from_checkpoint(prefix, model)
    print(f"weights of {prefix}", flush=True)
    for tensor in left:
        print(f"  initial value: {tensor}", flush=True)


def _peak(size, placement):
    """Peak memory of training in MB of 2^20 bytes: a GPU's, or the process's over `size`."""
    if placement.uses_gpu:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return peak_over(size)


def _next_batch(batches):
    try:
        return next(batches)
    except LOST_HOST:
        raise
    except tf.errors.OpError as error:
        raise DataError(
            f"cannot take the training images: {message_of(error)}. Build their shards again, or "
            "change the config that they do not fit"
        ) from None


def _train_step(steps, inputs, labels, rate, step, options):
    """One update; the metrics as Python floats."""
    try:
        metrics = steps.train(
            inputs, labels, tf.constant(rate, tf.float32), tf.constant(step, tf.int64)
        )
        return {name: float(value) for name, value in metrics.items()}
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"out of memory with --backprop {options.backprop}: {message_of(error)}. "
            "Lower --batch_size or --memory_budget, raise --num_pass, or choose a --backprop that "
            "keeps less"
        ) from None


def _checked(check, inputs, labels, step):
    """What a GradientCheck finds."""
    try:
        return check(inputs, labels, tf.constant(step, tf.int64))
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"out of memory in the check of gradients: {message_of(error)}. It needs what stored "
            "backprop needs: give --check_gradients_every 0, or raise --num_pass"
        ) from None


def _require_finite(loss, step, experiment):
    if math.isfinite(loss):
        return
    checkpoints = list_checkpoints(experiment.results)
    kept = f"the last checkpoint is step {max(checkpoints)}" if checkpoints else "nothing was saved"
    raise UserError(
        f"the loss became {loss} at step {step}; {kept}. Lower learning_rates (now "
        f"{experiment.config.learning_rate(step - 1):g}) in a --config file and start again"
    )
