"""Accuracy of a model over batches."""

import dataclasses
import sys

import numpy as np
import tensorflow as tf

from resnet.data.feed import PADDING_LABEL, untuned
from resnet.training.progress import Progress

TOP = 5  # best guesses that count for top-5


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Percentages of images, and how many they are of.

    flipped_top1, flipped_top5: of logits that are the mean over an image and its mirror image;
      None if that was not asked for.
    """

    top1: float
    top5: float
    num_images: int
    flipped_top1: float | None = None
    flipped_top5: float | None = None

    def to_json(self):
        """A JSON object (dict)."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Evaluation:
    """Counts right answers, on the replicas of a strategy if there is more than one."""

    def __init__(self, model, strategy=None, flips=False):
        """`flips`: whether mirror images count, too."""
        self.model, self.flips = model, flips
        self.strategy = strategy or tf.distribute.get_strategy()
        self._count = tf.function(self._count_all, autograph=False, reduce_retracing=True)

    def _count_all(self, images, labels):
        counts = self.strategy.run(self._count_replica, (images, labels))
        return self.strategy.reduce("SUM", counts, axis=None)

    def _count_replica(self, images, labels):
        """(3,) or, with `flips`, (5,) int64: all images; labels that are the best guess, and
        among the five best, of images; and of images with their mirror images."""
        logits = self.model(images)
        counts = [tf.cast(labels >= 0, tf.int64), *self._hits(logits, labels)]
        if self.flips:
            counts += self._hits((logits + self.model(images[:, :, ::-1])) / 2, labels)
        return tf.stack([tf.reduce_sum(count) for count in counts])

    def _hits(self, logits, labels):
        """[(N,) int64]: whether the label is the best guess, and among the five best."""
        is_image = labels >= 0
        classes = tf.maximum(labels, 0)
        own = tf.gather(logits, classes, axis=1, batch_dims=1)[:, None]
        is_number = tf.equal(own, own)[:, 0]
        best = tf.equal(tf.argmax(logits, 1, tf.int32), labels) & is_number
        # Ties count against the label; so does NaN, which is less than nothing.
        rank = logits.shape[-1] - tf.math.count_nonzero(logits < own, axis=1)
        return [tf.cast(hit & is_image, tf.int64) for hit in (best, rank <= TOP)]

    def __call__(self, batches, stop=False, name=None, num_batches=None):
        """Accuracy over batches of (images, labels); a label of -1 marks padding.

        Args:
          batches: tf.data.Dataset.
          stop: StopRequest.
          name: of what is evaluated, for a progress bar; None: no bar.
          num_batches: for the bar, where the data set itself does not know.

        Returns:
          Accuracy; None if `stop` comes to be true meanwhile.
        """
        total, known = 0, int(batches.cardinality())
        progress = Progress(
            self._dealt(untuned(batches)),
            desc=name,
            total=num_batches or (known if known >= 0 else None),
            unit=" batches",
            leave=False,
            mininterval=0.5 if sys.stderr.isatty() else 10,
            delay=0 if sys.stderr.isatty() else 10,  # short ones leave no line in a log
            dynamic_ncols=True,
            disable=name is None,
        )
        with progress:
            for images, labels in progress:
                if stop:
                    return None
                total += self._count(images, labels)
        num_images, *hits = (int(count) for count in total.numpy())
        top1, top5, *flipped = (100 * count / num_images for count in hits)
        return Accuracy(top1, top5, num_images, *flipped)

    def _dealt(self, batches):
        if self.strategy.num_replicas_in_sync == 1:
            return batches
        return self.strategy.experimental_distribute_dataset(batches)


def class_probabilities(model, batches):
    """Class probabilities, (N, classes) float32, of batches of (images, labels)."""
    classify = tf.function(model, autograph=False, reduce_retracing=True)
    return np.concatenate(
        [tf.nn.softmax(classify(images)).numpy() for images, _ in untuned(batches)]
    )


def first_images(batches, num_images):
    """The batches that hold the first images, all others of them marked as padding.

    Args:
      batches: tf.data.Dataset of (images, labels (N,) int32).
      num_images: how many; None: all.
    """
    if num_images is None:
        return batches

    @tf.autograph.experimental.do_not_convert
    def mark(seen, batch):
        images, labels = batch
        place = seen + tf.range(tf.size(labels))
        labels = tf.where(place < num_images, labels, PADDING_LABEL)
        return seen + tf.size(labels), (images, labels)

    @tf.autograph.experimental.do_not_convert
    def has_images(_, labels):
        return tf.reduce_any(labels >= 0)

    return batches.scan(tf.constant(0), mark).take_while(has_images)
