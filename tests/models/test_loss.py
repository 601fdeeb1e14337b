"""The loss, against NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from resnet.labels import MixedLabels, main_labels
from resnet.models.loss import cross_entropy

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, [5, 7])
LABELS, OTHERS = RNG.integers(0, 7, [2, 5])
SHARE = np.array([1.0, 0.7, 0.5, 0.3, 0.0])


def by_hand(targets, smoothing):
    """Mean of -sum t log p, with (1 - s) of a target and s / 7 everywhere."""
    log_p = LOGITS - np.log(np.sum(np.exp(LOGITS), axis=1, keepdims=True))
    return -np.mean(np.sum(((1 - smoothing) * targets + smoothing / 7) * log_p, axis=1))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_it_is_the_cross_entropy_of_what_labels_are(is_mixed, smoothing):
    labels, targets = tf.constant(LABELS, tf.int32), np.eye(7)[LABELS]
    if is_mixed:
        others = tf.constant(OTHERS, tf.int32)
        labels = MixedLabels(labels, others, tf.constant(SHARE, tf.float32))
        targets = SHARE[:, None] * targets + (1 - SHARE[:, None]) * np.eye(7)[OTHERS]
    found = cross_entropy(tf.constant(LOGITS, tf.float32), labels, smoothing)
    np.testing.assert_allclose(found, by_hand(targets, smoothing), rtol=1e-5)


def test_accuracy_counts_by_the_larger_part():
    parts = (tf.constant(LABELS, tf.int32), tf.constant(OTHERS, tf.int32))
    mixed = MixedLabels(*parts, tf.constant(SHARE, tf.float32))
    np.testing.assert_array_equal(main_labels(mixed), [*LABELS[:3], *OTHERS[3:]])
    assert main_labels(parts[0]) is parts[0]
