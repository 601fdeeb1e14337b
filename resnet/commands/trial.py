"""A training that is only tried: a smoke test, the time of a few steps, the memory of one."""

import contextlib
import dataclasses
import datetime
import pathlib
import re
import statistics
import tempfile
import time

from resnet.errors import UserError
from resnet.pretrained import PREFIX
from resnet.training.metrics import LOSS
from resnet.training.state import Training
from resnet.training.step_memory import experiment_report
from resnet.training.train import InterruptedRunError, train_and_evaluate

SMOKE_TEST_STEPS = 2
WARM_UP_STEPS, TIMED_STEPS = 3, 10  # of --time


def smoke_test(task, flags, experiment, data, placement, jit, stop):
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


def time_steps(task, experiment, data, placement, jit, stop):
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


def predicted_memory(experiment, placement):
    """What a step takes on one device, in words."""
    report = experiment_report(experiment, placement.num_replicas)
    return (
        f"about {report.total_bytes / 1e6:.0f} MB for a step on a device (predicted): tensors take "
        f"{report.peak_bytes / 1e6:.0f} MB {report.moment}, and {report.kept_bytes / 1e6:.0f} MB "
        "wait for the backward pass; resnet memory lists them"
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
