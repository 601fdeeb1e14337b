"""Labels of images that were mixed of two."""

from typing import NamedTuple

import tensorflow as tf


class MixedLabels(NamedTuple):
    """Labels of images that were mixed of two.

    labels: (N,) int32, of the one.
    others: (N,) int32, of the other.
    share: (N,) float32, how much of the image is the one's.
    """

    labels: tf.Tensor
    others: tf.Tensor
    share: tf.Tensor


def main_labels(labels: tf.Tensor | MixedLabels) -> tf.Tensor:
    """(N,) int32: the label of the larger part, by which accuracy counts."""
    if not isinstance(labels, MixedLabels):
        return labels
    return tf.where(labels.share >= 0.5, labels.labels, labels.others)
