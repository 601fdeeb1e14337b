"""What the training loop asks of a data set."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

PADDING_LABEL = -1  # of what fills a batch of an evaluation, and does not count


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of every step's images that the replicas of one host take."""

    batch_size: int  # images of one replica
    num_replicas: int = 1  # of this host
    num_hosts: int = 1
    host: int = 0

    @property
    def step_size(self):
        """Images of a step, over all hosts."""
        return self.batch_size * self.num_replicas * self.num_hosts


@dataclasses.dataclass(frozen=True)
class Feed:
    """Batches to train on and to evaluate on.

    training: (first_step, Share) -> endless tf.data.Dataset of (inputs, labels (N,)
      int32, or MixedLabels), N being a replica's batch; a step takes one batch for each
      replica of the host. Inputs are a nest of tensors.
    evaluations: {name: () -> tf.data.Dataset of (images, labels)}; the first is what a
      training looks at, on its way and at its end: with a validation split, never at the test
      images.
    prepare: inputs -> images (N, H, W, 3) float32, on the device that trains.
    find_damage: (TensorFlow's error) -> text: what of the training images it is of; None if that
      is not known.
    indices: (step, Share) -> [int], places in the training split of a step's images; None if
      they have none.
    """

    training: Callable
    evaluations: dict
    prepare: Callable = lambda inputs: inputs
    find_damage: Callable = lambda error: None
    indices: Callable | None = None


def untuned(dataset):
    """A tf.data.Dataset that computes the same, without the thread that tunes its parallelism.

    Whoever frees an iterator waits for that thread. It is woken just before it is told to end: if
    it looks between the two, as happens where processors are busy, it sleeps on, up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
