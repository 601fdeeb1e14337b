"""The loss: cross-entropy against labels that are whole, smoothed, or those of two images."""

from __future__ import annotations

import tensorflow as tf

from resnet.labels import MixedLabels


def cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor | MixedLabels, smoothing: float = 0.0
) -> tf.Tensor:
    """Mean cross-entropy, float32 scalar.

    Args:
      logits: (N, classes) float32.
      labels: (N,) integers in [0, classes), or MixedLabels.
      smoothing: share of a label that all classes divide evenly (Szegedy et al. 2016,
        https://arxiv.org/abs/1512.00567).
    """
    if not isinstance(labels, MixedLabels) and not smoothing:
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
    count = logits.shape[-1]
    if isinstance(labels, MixedLabels):
        share = labels.share[:, None]
        targets = share * tf.one_hot(labels.labels, count)
        targets += (1 - share) * tf.one_hot(labels.others, count)
    else:
        targets = tf.one_hot(labels, count)
    targets = (1 - smoothing) * targets + smoothing / count
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits))
