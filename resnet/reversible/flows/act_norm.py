"""Activation normalisation: a scale and a shift of each channel, fitted to the first batch."""

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.log_determinant import same_for_all
from resnet.reversible.nest import Nest

EPSILON = 1e-6  # added to deviations, of which smaller ones are none


class ActNorm(Coupling):
    """y = (x + shift) exp(log_scale), (N, ..., C); aux is the LogDeterminant.

    Parameters are {"log_scale": (C,), "shift": (C,)}.

    Source: Kingma & Dhariwal 2018, https://arxiv.org/abs/1807.03039.
    """

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """x -> (y, aux)."""
        log_scale = params["log_scale"]
        y = (x + params["shift"]) * tf.exp(log_scale)
        return y, same_for_all(tf.reduce_sum(log_scale), x)

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> x."""
        return y * tf.exp(-params["log_scale"]) - params["shift"]

    @staticmethod
    def fitted(x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parameters with which each channel of y has mean 0 and deviation 1.

        One that does not vary has only its mean taken away: a scale without bounds would make
        the next batch, in which it does vary, as large.

        Args:
          x: (N, ..., C).
        """
        mean, variance = tf.nn.moments(x, list(range(x.shape.rank - 1)))
        deviation = tf.sqrt(variance)
        varies = deviation > EPSILON * (1 + tf.abs(mean))  # up to the rounding of the mean
        scale = tf.where(varies, deviation + EPSILON, tf.ones_like(deviation))
        return {"log_scale": -tf.math.log(scale), "shift": -mean}
