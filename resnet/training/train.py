"""The training loop: train, log, evaluate, save, and go on where a run stopped."""

import dataclasses
import math
import sys
import time

import tensorflow as tf
from tqdm import tqdm

from resnet.data.cifar import training_and_evaluation
from resnet.data.pipeline import evaluation_batches, mean_image, training_batches
from resnet.errors import UserError
from resnet.models import get_model
from resnet.training.checkpoint import list_checkpoints, restore_checkpoint, save_checkpoint
from resnet.training.interrupts import stop_requests
from resnet.training.logs import Logs
from resnet.training.optimizer import Momentum
from resnet.training.steps import Steps, make_strategy


class InterruptedRunError(UserError):
    """Training was asked to stop, and has saved."""

    def __init__(self, message, signal_number):
        super().__init__(message)
        self.exit_code = 128 + signal_number  # the shell's convention


@dataclasses.dataclass
class _Interval:
    """Sums since the last log row."""

    steps: int = 0
    loss: float = 0.0
    accuracy: float = 0.0
    past_exact_range: float = 0.0
    started: float = dataclasses.field(default_factory=time.perf_counter)

    def add(self, metrics):
        self.steps += 1
        self.loss += metrics["loss"]
        self.accuracy += metrics["accuracy"]
        self.past_exact_range += metrics["past_exact_range"]


def build(experiment, devices, jit):
    """(model, optimizer, steps) of an experiment on devices."""
    config, options = experiment.config, experiment.options
    strategy, scope = make_strategy(devices)
    with scope:
        model = get_model(config, options.backprop, options.dtype, options.exact)
        optimizer = Momentum(model.trainable_by_storage_name, config.momentum)
    return model, optimizer, Steps(model, optimizer, strategy, jit)


def train_and_evaluate(experiment, dataset, devices, jit, command, resume):
    """Trains an experiment to its end and measures test accuracy.

    Args:
      experiment: Experiment.
      dataset: data.dataset.Dataset.
      devices: names of the devices to train on, one replica each.
      jit: whether to compile with XLA.
      command: this run's command line, for the logs.
      resume: command line that continues the run, named when it is interrupted.

    Returns:
      Test accuracy, percent.

    Raises:
      UserError: the loss is not finite, a file cannot be written, or (InterruptedRunError)
        a signal asked to stop; in every case the last checkpoint is complete.
    """
    config, options = experiment.config, experiment.options
    num_steps = experiment.num_steps
    train_split, evaluation_split = training_and_evaluation(dataset, options.validation)
    experiment.save()
    mean = experiment.mean_image(lambda: mean_image(train_split))

    model, optimizer, steps = build(experiment, devices, jit)
    checkpoints = list_checkpoints(experiment.results)
    step = 0
    if checkpoints:
        step = restore_checkpoint(checkpoints[max(checkpoints)], model, optimizer)
        print(f"restored {checkpoints[max(checkpoints)]}", flush=True)
    logs = Logs(experiment.logs, command, first_step=step)

    def save(step):
        return save_checkpoint(experiment.results, step, model, optimizer, config.seed)

    def evaluate(split):
        return steps.accuracy(evaluation_batches(split, mean, config.evaluation_batch_size))

    batches = training_batches(
        train_split, mean, config.batch_size, config.seed, step, max(0, num_steps - step)
    )
    interval, saved_step = _Interval(), step if checkpoints else None
    progress = tqdm(
        initial=step,
        total=num_steps,
        unit=" steps",
        desc=config.name,
        mininterval=0.5 if sys.stderr.isatty() else 10,
        dynamic_ncols=True,
    )
    with stop_requests() as stop, progress:
        for images, labels in steps.strategy.experimental_distribute_dataset(batches):
            rate = config.learning_rate(step)
            metrics = _train_step(steps, images, labels, rate, options)
            step += 1
            _require_finite(metrics["loss"], step, experiment)
            interval.add(metrics)
            progress.update()
            is_last = step == num_steps
            if step % config.log_every == 0 or is_last:
                interval = _log(logs, step, rate, interval, config, progress)
            if step % config.evaluate_every == 0 and not is_last:
                paused = time.perf_counter()
                accuracy = evaluate(evaluation_split)
                logs.write("valid_acc", step, accuracy)
                kind = "validation" if options.validation else "test"
                _say(progress, step, f"{kind} accuracy {accuracy:.3f}")
                interval.started += time.perf_counter() - paused  # images/s of training alone
            stopping = bool(stop)  # read once: a signal may come at any time
            if step % config.save_every == 0 or is_last or stopping:
                save(step)
                saved_step = step
            if stopping and not is_last:
                raise InterruptedRunError(
                    f"stopped at step {step}, which is saved. Continue with: {resume}",
                    stop.signal_number,
                )
    if saved_step is None:
        save(step)
    accuracy = evaluate(evaluation_split)
    logs.write("valid_acc", step, accuracy)
    logs.flush()
    return evaluate(dataset.test) if options.validation else accuracy


def _train_step(steps, images, labels, rate, options):
    """One update; the metrics as Python floats."""
    try:
        metrics = steps.train(images, labels, tf.constant(rate, tf.float32))
        return {name: float(value) for name, value in metrics.items()}
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"out of memory with --backprop {options.backprop}: {error.message.splitlines()[0]}. "
            "Lower --batch_size, or choose a --backprop that keeps less"
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


def _log(logs, step, rate, interval, config, progress):
    """Writes an interval's rows and returns the next one."""
    seconds = time.perf_counter() - interval.started
    loss, accuracy = interval.loss / interval.steps, interval.accuracy / interval.steps
    speed = interval.steps * config.batch_size / seconds
    logs.write("train_ce", step, loss)
    logs.write("train_acc", step, 100 * accuracy)
    logs.write("learn_rate", step, rate)
    logs.write("past_exact_range", step, interval.past_exact_range)
    logs.flush()
    progress.set_postfix_str(f"loss {loss:.3f} acc {100 * accuracy:.1f}% {speed:.0f} images/s")
    _say(
        progress,
        step,
        f"loss {loss:.4f}, training accuracy {100 * accuracy:.2f}, learning rate {rate:g}, "
        f"{speed:.1f} images/s",
    )
    if interval.past_exact_range:
        _say(
            progress,
            step,
            f"warning: {interval.past_exact_range:.0f} values of the residual stream were past "
            "the exact range since the last log; gradients may differ from stored ones there",
        )
    return _Interval()


def _say(progress, step, text):
    progress.clear()
    print(f"step {step}: {text}", flush=True)
