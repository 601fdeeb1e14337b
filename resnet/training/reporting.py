"""What a running training tells: log rows, lines and a progress bar."""

import contextlib
import json
import sys
import time

import numpy as np

from resnet.files import write_json
from resnet.training.logs import COMMANDS, Logs
from resnet.training.metrics import LEFT_OUT, LOSS, METRICS, PAST_EXACT_RANGE
from resnet.training.progress import Progress

# What was measured since the last row, {step: of a run that continues there}.
OPEN_WINDOW = "open_window.json"
COLUMNS = {"learn_rate": "lr", "step_seconds": "seconds", "peak_mb": "mb"}
COLUMNS |= {metric.name: metric.column for metric in METRICS}
EVALUATION_COLUMNS = {"valid_acc": "acc", "eval_seconds": "seconds"}  # if this process evaluates
DRIFT_COLUMNS = {"reconstruction_error": "error", "gradient_angle": "degrees"}
# An angle is worth a warning if it is so many times the first one, and not tiny.
ANGLE_GROWTH, SMALL_ANGLE = 2, 0.1


class Window:
    """Metrics of the steps since the last log row, left on the device until they are read."""

    def __init__(self, step, kept=None):
        """`step`: the number of updates done; `kept`: of a run before, what `to_json` gave."""
        kept = kept or {"first_step": step, "seconds": 0.0, "values": {}}
        self.first_step = kept["first_step"]
        self.started = time.perf_counter() - kept["seconds"]
        self._unread = []  # {name: tensor of a step, or of several}
        self._values = {metric.name: kept["values"].get(metric.name, []) for metric in METRICS}

    def to_json(self):
        """What it holds, as a JSON object; waits for the device."""
        values = {name: list(found) for name, found in self.read().items()}
        seconds = time.perf_counter() - self.started
        return {"first_step": self.first_step, "seconds": seconds, "values": values}

    def add(self, metrics):
        """Takes, of what one step or several returned, METRICS: {name: scalar or (n,) tensor}."""
        self._unread.append({metric.name: metrics[metric.name] for metric in METRICS})

    def read(self):
        """{name: [value of each step]}; waits for the device."""
        for metrics in self._unread:
            for name, value in metrics.items():
                self._values[name] += [float(one) for one in np.atleast_1d(value.numpy())]
        self._unread = []
        return self._values


def _row(values):
    """{name: value of several steps} of {name: [each one's]}; means are of updates made."""
    made = [i for i, left_out in enumerate(values[LEFT_OUT]) if not left_out]
    return {
        metric.name: metric.of_steps(
            values[metric.name]
            if metric.is_count or not made
            else [values[metric.name][i] for i in made]
        )
        for metric in METRICS
    }


def _kept_window(path, step):
    """What `Reporter.keep_window` wrote at this step; None if there is nothing of it."""
    names = {metric.name for metric in METRICS}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # Of earlier versions, there is one, with its step in it.
        kept = content if content.get("step") == step else content[str(step)]
        first, values = int(kept["first_step"]), kept["values"]
        lists = {name: [float(value) for value in values[name]] for name in names}
        is_whole = all(len(one) == step - first >= 0 for one in lists.values())
        if not is_whole:
            return None
        return {"first_step": first, "seconds": float(kept["seconds"]), "values": lists}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None  # a row is then of fewer steps


class Reporter:
    """Logs, prints and shows the progress of a training; silent unless it is the chief's."""

    def __init__(self, experiment, command, step, is_chief, evaluates, checks_gradients):
        """`step` is where training starts; the last two say what else is logged."""
        self._config = experiment.config
        columns = COLUMNS | (EVALUATION_COLUMNS if evaluates else {})
        angles = experiment.logs / "gradient_angle.csv"  # a run before this one may have them
        columns |= DRIFT_COLUMNS if checks_gradients or angles.exists() else {}
        has_ended = step >= experiment.num_steps and (experiment.logs / COMMANDS).exists()
        command = None if has_ended else command  # of a run that trains nothing
        self._logs = Logs(experiment.logs, command, columns, step) if is_chief else None
        angles = self._logs.values("gradient_angle") if is_chief else []
        self._first_angle = angles[0][1] if angles else None
        self._kept = experiment.logs / OPEN_WINDOW
        kept = _kept_window(self._kept, step)
        self._window, self._saved = Window(step, kept), {str(step): kept} if kept else {}
        self._progress = Progress(
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

    def add(self, metrics, num_steps=1):
        """Takes the metrics of so many steps; see `Window.add`."""
        self._window.add(metrics)
        self._progress.update(num_steps)

    def keep_window(self, step):
        """Writes what was measured since the last row, for a run that continues at this step.

        What was of the step kept before stays beside it: this step's checkpoint is not there yet.
        """
        if self._logs:
            before, self._saved = self._saved, {str(step): self._window.to_json()}
            write_json(self._kept, before | self._saved)

    def log_interval(self, step, rate, peak_mb):
        """Writes the metrics since the last call, and the peak of memory so far.

        Args:
          step: the number of updates done.
          rate: learning rate of the last one.
          peak_mb: function that returns the peak.
        """
        window, values = self._window, self._window.read()  # the device has caught up now
        seconds = time.perf_counter() - window.started
        self._window = Window(step)
        num_steps = step - window.first_step
        found = _row(values)
        for name, value in found.items():
            self.write(name, step, value)
        self.write("learn_rate", step, rate)
        self.write("step_seconds", step, seconds / num_steps)
        self.write("peak_mb", step, peak_mb())
        self.flush()
        speed = num_steps * self._config.batch_size / seconds
        texts = [metric.text.format(found[metric.name]) for metric in METRICS if metric.text]
        self._progress.set_postfix_str(f"loss {found[LOSS]:.3f} {speed:.0f} images/s")
        self.say(step, ", ".join([*texts, f"learning rate {rate:g}", f"{speed:.1f} images/s"]))
        if found[PAST_EXACT_RANGE]:
            self.say(
                step,
                f"warning: {found[PAST_EXACT_RANGE]:.0f} tensors of the residual stream had "
                "values past the exact range since the last log; gradients may differ from stored "
                "ones there",
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

    def evaluation_seconds(self):
        """Seconds that the logged evaluations took, in this process and before."""
        return sum(s for _, s in self._logs.values("eval_seconds")) if self._logs else 0.0

    def commands(self):
        """The command lines of this training, this process's last."""
        return self._logs.commands() if self._logs else []

    def peak_mb(self):
        """The highest of the logged peaks of memory, in this process and before; MB or None."""
        peaks = [peak for _, peak in self._logs.values("peak_mb")] if self._logs else []
        return max(peaks, default=None)

    def has(self, name, step):
        """Whether a value of this step is logged; True where nothing is."""
        return not self._logs or self._logs.has(name, step)

    def write(self, name, step, value):
        """Logs one value."""
        if self._logs:
            self._logs.write(name, step, value)

    def sync(self):
        """Makes what was logged outlast a power cut."""
        if self._logs:
            self._logs.sync()

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
        self._window.read()  # what the device still has to do counts
        start = time.perf_counter()
        yield
        self._window.started += time.perf_counter() - start
