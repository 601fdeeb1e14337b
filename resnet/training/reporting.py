"""What a running training tells: log rows, lines and a progress bar."""

import contextlib
import dataclasses
import sys
import time

from tqdm import tqdm

from resnet.training.logs import Logs

COLUMNS = {
    "train_ce": "ce",
    "train_acc": "acc",
    "learn_rate": "lr",
    "step_seconds": "seconds",
    "peak_mb": "mb",
    "past_exact_range": "count",
}
EVALUATION_COLUMNS = {"valid_acc": "acc"}  # not there if another process evaluates
DRIFT_COLUMNS = {"reconstruction_error": "error", "gradient_angle": "degrees"}
# An angle is worth a warning if it is so many times the first one, and not tiny.
ANGLE_GROWTH, SMALL_ANGLE = 2, 0.1


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


class Reporter:
    """Logs, prints and shows the progress of a training; silent unless it is the chief's."""

    def __init__(self, experiment, command, step, is_chief, evaluates, checks_gradients):
        """`step` is where training starts; the last two say what else is logged."""
        self._config = experiment.config
        columns = COLUMNS | (EVALUATION_COLUMNS if evaluates else {})
        angles = experiment.logs / "gradient_angle.csv"  # a run before this one may have them
        columns |= DRIFT_COLUMNS if checks_gradients or angles.exists() else {}
        self._logs = Logs(experiment.logs, command, columns, step) if is_chief else None
        angles = self._logs.values("gradient_angle") if is_chief else []
        self._first_angle = angles[0][1] if angles else None
        self._interval = _Interval()
        self._progress = tqdm(
            initial=step,
            total=experiment.num_steps,
            unit=" steps",
            desc=experiment.config.name,
            mininterval=0.5 if sys.stderr.isatty() else 10,
            dynamic_ncols=True,
            disable=not is_chief,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._progress.close()

    def end_training(self):
        """Closes the progress bar: what comes is evaluation."""
        self._progress.close()
        if self._logs:
            print("evaluating", flush=True)

    def add(self, metrics):
        """Takes the metrics of one step."""
        self._interval.add(metrics)
        self._progress.update()

    def log_interval(self, step, rate, peak_mb):
        """Writes the means since the last call, and the peak of memory so far."""
        interval, self._interval = self._interval, _Interval()
        seconds = time.perf_counter() - interval.started
        loss, accuracy = interval.loss / interval.steps, 100 * interval.accuracy / interval.steps
        speed = interval.steps * self._config.batch_size / seconds
        self.write("train_ce", step, loss)
        self.write("train_acc", step, accuracy)
        self.write("learn_rate", step, rate)
        self.write("step_seconds", step, seconds / interval.steps)
        self.write("peak_mb", step, peak_mb)
        self.write("past_exact_range", step, interval.past_exact_range)
        self.flush()
        self._progress.set_postfix_str(f"loss {loss:.3f} acc {accuracy:.1f}% {speed:.0f} images/s")
        self.say(
            step,
            f"loss {loss:.4f}, training accuracy {accuracy:.2f}, learning rate {rate:g}, "
            f"{speed:.1f} images/s",
        )
        if interval.past_exact_range:
            self.say(
                step,
                f"warning: {interval.past_exact_range:.0f} values of the residual stream were "
                "past the exact range since the last log; gradients may differ from stored ones "
                "there",
            )

    def log_drift(self, step, drift):
        """Logs what a GradientCheck found; warns if the angle has grown since the first."""
        for name, value in drift.items():
            self.write(name, step, value)
        angle = drift["gradient_angle"]
        if self._first_angle is None:
            self._first_angle = angle
        if not angle <= max(SMALL_ANGLE, ANGLE_GROWTH * self._first_angle):
            self.say(
                step,
                f"warning: reversible gradients are {angle:.2g} degrees off stored ones "
                f"({self._first_angle:.2g} at first), and restored activations off by "
                f"{drift['reconstruction_error']:.2g} of the largest: train with --exact, or "
                "with --backprop stored or checkpoint",
            )

    def training_seconds(self):
        """Seconds that the logged steps took, evaluations apart, in this process and before."""
        last, total = 0, 0.0
        for step, seconds in self._logs.values("step_seconds") if self._logs else ():
            last, total = step, total + (step - last) * seconds
        return total

    def peak_mb(self):
        """The highest of the logged peaks of memory, in this process and before; MB or None."""
        peaks = [peak for _, peak in self._logs.values("peak_mb")] if self._logs else []
        return max(peaks, default=None)

    def write(self, name, step, value):
        """Logs one value."""
        if self._logs:
            self._logs.write(name, step, value)

    def flush(self):
        """Makes what was logged visible to readers."""
        if self._logs:
            self._logs.flush()

    def say(self, step, text):
        """Prints a line."""
        if self._logs:
            self._progress.clear()
            print(f"step {step}: {text}", flush=True)

    @contextlib.contextmanager
    def paused(self):
        """Within it, time does not count: images/s are those of training alone."""
        start = time.perf_counter()
        yield
        self._interval.started += time.perf_counter() - start
