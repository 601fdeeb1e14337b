"""Trainings of a tiny network in this process, on numbers that depend on the step alone."""

import csv
import dataclasses

import numpy as np
import tensorflow as tf

import resnet
from resnet.data.feed import Feed
from resnet.settings import RunOptions
from resnet.training.experiment import Experiment
from resnet.training.placement import Hosts, Placement
from resnet.training.train import train_and_evaluate

SIDE, BATCH_SIZE = 8, 4
OPTIONS = {"dataset": "synthetic", "backprop": "stored", "exact": False}
ALONE = Hosts()
CONFIG = dataclasses.replace(
    resnet.get_config("resnet-test"),
    image_size=SIDE,
    units=(1, 1),
    filters=(2, 4),
    strides=(1, 2),
    batch_size=BATCH_SIZE,
    num_steps=7,
    learning_rates=(0.1, 0.01, 0.001),
    boundaries=(3, 5),
    log_every=1,
    evaluate_every=3,
    save_every=100,
)


def numbers(seed, count):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal([count, SIDE, SIDE, 3], np.float32)
    return images, rng.integers(0, 10, count, np.int32)


class Data:
    """A feed whose batches depend on the step alone; it remembers what it was asked."""

    def __init__(self, bad_steps=(), value=np.nan):
        """Of `bad_steps`, every pixel is `value`."""
        self.first_steps, self.shares, self.num_evaluations = [], [], 0
        self.bad_steps, self.value = bad_steps, value
        evaluations = {"validation": self.evaluation, "test": self.evaluation}
        self.feed = Feed(self.training, evaluations, indices=lambda step, _: [step, step + 100])

    def training(self, first_step, share):
        self.first_steps.append(first_step)
        self.shares.append(share)
        batches = [numbers(step, BATCH_SIZE) for step in range(40)]
        for step in self.bad_steps:
            batches[step][0][:] = self.value
        images, labels = map(np.stack, zip(*batches, strict=True))
        return tf.data.Dataset.from_tensor_slices((images, labels)).skip(first_step)

    def evaluation(self):
        self.num_evaluations += 1
        return tf.data.Dataset.from_tensor_slices(numbers(99, 10)).batch(4)


def alone(hosts=ALONE):
    return Placement(tf.distribute.get_strategy(), ("/cpu:0",), hosts)


def experiment_in(folder, options=None, **changes):
    experiment = Experiment(
        "one",
        dataclasses.replace(CONFIG, **changes),
        RunOptions(**OPTIONS | (options or {})),
        folder / "results" / "one",
        folder / "logs" / "one",
    )
    experiment.save()
    return experiment


def run(experiment, data=None, hosts=ALONE, stop=None):
    data = data or Data()
    return train_and_evaluate(experiment, data.feed, alone(hosts), False, "command", "resume", stop)


def column(experiment, name):
    """{step: value} of a log; every step stands there once."""
    with open(experiment.logs / f"{name}.csv", newline="") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    found = {int(step): float(value) for step, _, value in rows}
    assert len(found) == len(rows)
    return found
