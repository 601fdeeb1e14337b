"""What a training logs of its steps: each metric once."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from resnet.labels import main_labels


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number of every step, computed where the model is, read when it is logged.

    name: of its log, NAME.csv.
    column: of the values there.
    compute: (result of Model.forward_and_backward, labels) -> scalar, of one pass; None where it
      is the update that tells.
    text: how a line of the log says it, with the value as {}; "" if it does not.
    is_count: whether passes, replicas and steps add up; else their mean counts.
    scale: what the value is multiplied by.
    """

    name: str
    column: str
    compute: Callable | None
    text: str = ""
    is_count: bool = False
    scale: float = 1.0

    def of_steps(self, values):
        """The value of several steps, from a list of each one's."""
        total = sum(values)
        return self.scale * total if self.is_count else self.scale * total / len(values)


def _accuracy(result, labels):
    hits = tf.equal(tf.argmax(result["logits"], 1, tf.int32), main_labels(labels))
    return tf.reduce_mean(tf.cast(hits, tf.float32))


LOSS = "train_ce"
PAST_EXACT_RANGE = "past_exact_range"
LEFT_OUT = "updates_left_out"
METRICS_OF_PASSES = (
    Metric(LOSS, "ce", lambda result, _: result["loss"], "loss {:.4f}"),
    Metric("train_acc", "acc", _accuracy, "training accuracy {:.2f}", scale=100),
    Metric(
        PAST_EXACT_RANGE,
        "count",
        lambda result, _: tf.cast(result["past_exact_range"], tf.float32),
        is_count=True,
    ),
)
METRICS = (*METRICS_OF_PASSES, Metric(LEFT_OUT, "count", None, is_count=True))
