"""What is logged of steps: values by NumPy, and seconds by a clock of the test's own."""

import dataclasses
import time

import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.settings import RunOptions
from resnet.training.experiment import Experiment
from resnet.training.metrics import METRICS
from resnet.training.reporting import Reporter, Window

BY_NAME = {metric.name: metric for metric in METRICS}


def values_of(count=1, **values):
    """Metrics of one step, or of several at once."""
    filled = dict.fromkeys(BY_NAME, 0.0) | values
    return {
        n: tf.constant(np.broadcast_to(v, [count]).squeeze(), tf.float32) for n, v in filled.items()
    }


def test_training_accuracy_is_the_share_of_labels_with_the_largest_logit():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal([50, 4]).astype(np.float32)
    labels = rng.integers(0, 4, 50).astype(np.int32)
    found = BY_NAME["train_acc"].compute({"logits": logits}, labels)
    np.testing.assert_allclose(found, np.mean(logits.argmax(axis=1) == labels))
    assert not np.isclose(found, np.mean(logits.argmin(axis=1) == labels))


def test_means_are_means_and_counts_are_sums():
    found = {name: metric.of_steps([0.5, 0.25, 0.75]) for name, metric in BY_NAME.items()}
    counts = {"past_exact_range": 1.5, "updates_left_out": 1.5}
    assert found == {"train_ce": 0.5, "train_acc": 50} | counts


def test_a_window_reads_steps_one_by_one_and_several_at_once():
    window = Window(10)
    window.add(values_of(train_ce=1.0))
    window.add(values_of(3, train_ce=[2.0, 3.0, 4.0]))
    assert window.read()["train_ce"] == [1, 2, 3, 4] == window.read()["train_ce"]


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_seconds_are_those_of_a_step_without_pauses(tmp_path, clock, capsys):
    config = dataclasses.replace(resnet.get_config("resnet-test"), num_steps=50, batch_size=10)
    options = RunOptions(dataset="synthetic", backprop="stored", exact=False)
    experiment = Experiment("one", config, options, tmp_path / "results", tmp_path / "logs")
    peaks = iter([7.0, 9.0, 8.0])
    with Reporter(experiment, "command", 20, True, False, False) as reporter:
        for last, num_steps, seconds in ((23, 3, 6.0), (33, 10, 5.0), (34, 1, 4.0)):
            reporter.add(values_of(num_steps, train_ce=1.0), num_steps)
            with reporter.paused():
                clock[0] += 1000
            clock[0] += seconds
            reporter.log_interval(last, 0.1, lambda: next(peaks))
        # The first row's steps, 21 to 23, come after 20 of a process before, which are not there.
        rows = reporter._logs.values("step_seconds")
        assert rows == [(23, 2.0), (33, 0.5), (34, 4.0)]
        assert reporter.training_seconds() == pytest.approx(23 * 2.0 + 10 * 0.5 + 4.0)
        assert reporter.peak_mb() == 9
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(", ")[2] for line in lines] == [
        "5.0 images/s",  # 3 steps of 10 images in 6 s
        "20.0 images/s",
        "2.5 images/s",
    ]
