"""A 1x1 convolution that inverts: it mixes channels, as a permutation would."""

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.log_determinant import same_for_all
from resnet.reversible.nest import Nest


class InvertibleConv(Coupling):
    """y = x W, (N, ..., C), with W = P L (U + diag(signs exp(log_diagonal))); aux: LogDeterminant.

    P is a permutation; L has ones, and U zeros, on its diagonal. Parameters, each (C, C) but the
    last two, (C,): {"permutation", "lower", "upper", "log_diagonal", "signs"}, of which
    "permutation" and "signs" stay as they are: they have no gradient.

    Source: Kingma & Dhariwal 2018, https://arxiv.org/abs/1807.03039.
    """

    def _lower(self, params: Nest) -> tf.Tensor:
        lower = params["lower"]
        strict = lower - tf.linalg.band_part(lower, 0, -1)
        return strict + tf.eye(lower.shape[0], dtype=lower.dtype)

    def _upper(self, params: Nest) -> tf.Tensor:
        upper, signs = params["upper"], tf.stop_gradient(params["signs"])
        strict = upper - tf.linalg.band_part(upper, -1, 0)
        return strict + tf.linalg.diag(signs * tf.exp(params["log_diagonal"]))

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """x -> (y, aux)."""
        permutation = tf.stop_gradient(params["permutation"])
        matrix = permutation @ self._lower(params) @ self._upper(params)
        return _mixed(x, matrix), same_for_all(tf.reduce_sum(params["log_diagonal"]), x)

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> x."""
        transposed = tf.transpose(params["permutation"])
        matrix = tf.linalg.triangular_solve(self._lower(params), transposed)
        return _mixed(y, tf.linalg.triangular_solve(self._upper(params), matrix, lower=False))

    @staticmethod
    def rotation(channels: int, seed: int) -> dict[str, tf.Tensor]:
        """Parameters, float32, with which W is a random rotation or reflection."""
        matrix = tf.random.stateless_normal(
            [channels, channels], [seed, channels], dtype=tf.float64
        )
        both, places = tf.linalg.lu(tf.linalg.qr(matrix)[0])
        diagonal = tf.linalg.diag_part(both)
        found = {
            "permutation": tf.transpose(tf.one_hot(places, channels, dtype=tf.float64)),
            "lower": both - tf.linalg.band_part(both, 0, -1),
            "upper": both - tf.linalg.band_part(both, -1, 0),
            "log_diagonal": tf.math.log(tf.abs(diagonal)),
            "signs": tf.sign(diagonal),
        }
        return {name: tf.cast(value, tf.float32) for name, value in found.items()}


def _mixed(x: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Each pixel's channels times a matrix."""
    flat = tf.reshape(x, [-1, matrix.shape[0]]) @ matrix
    return tf.ensure_shape(tf.reshape(flat, tf.shape(x)), x.shape)
