"""The logarithm of a Jacobian's determinant, per image: what a coupling does to volumes."""

import tensorflow as tf

from resnet.reversible.gradients import Term, terms_in
from resnet.reversible.nest import Nest


class LogDeterminant(Term):
    """log |det dy/dx| of a coupling, (N,), in its aux; one without keeps all volumes."""

    __slots__ = ()


def log_determinant(aux: Nest) -> tf.Tensor | float:
    """That of a whole sequence, of the aux that `run_sequence` returns.

    Args:
      aux: nest of aux nests.

    Returns:
      (N,), in which aux has a gradient; 0.0 where nothing changes volumes.
    """
    parts = [term.value for term in terms_in(aux) if isinstance(term, LogDeterminant)]
    # Of units in a loop, it has an axis for each.
    sums = [tf.reduce_sum(part, axis=list(range(part.shape.rank - 1))) for part in parts]
    return tf.add_n(sums) if sums else 0.0


def losses_in(aux: Nest) -> list[tf.Tensor]:
    """The values of all terms that are no LogDeterminant."""
    return [term.value for term in terms_in(aux) if not isinstance(term, LogDeterminant)]


def sum_per_image(x: tf.Tensor) -> tf.Tensor:
    """(N, ...) -> (N,)."""
    return tf.reduce_sum(x, axis=list(range(1, x.shape.rank)))


def same_for_all(value: tf.Tensor, x: tf.Tensor) -> LogDeterminant:
    """That of a map whose determinant is the same for each image.

    Args:
      value: the sum over channels, scalar; it counts once a pixel.
      x: (N, ..., C).
    """
    shape = tf.shape(x)
    num_pixels = tf.cast(tf.reduce_prod(shape[1:-1]), x.dtype)
    return LogDeterminant(tf.fill(shape[:1], tf.cast(value, x.dtype) * num_pixels))
