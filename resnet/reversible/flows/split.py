"""Multi-scale flows: half of the channels leave, under a prior that is learned of the others."""

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.gradients import PureFunction
from resnet.reversible.log_determinant import LogDeterminant, sum_per_image
from resnet.reversible.nest import Nest


class Split(Coupling):
    """(x, latents) -> (x1, (*latents, z)), z = (x2 - mean) exp(-log_deviation), of x1.

    x1 and x2 are the halves of x's channels, (N, ..., C); `prior` returns mean and
    log_deviation of x1, side by side. z is to be standard normal; so it has the density that
    x2 has under a normal prior with that mean and deviation. Parameters are the prior's; aux is
    (its aux, the LogDeterminant).

    Sources: Dinh et al. 2017, https://arxiv.org/abs/1605.08803; the learned prior: Kingma &
    Dhariwal 2018, https://arxiv.org/abs/1807.03039.
    """

    def __init__(self, prior: PureFunction) -> None:
        """`prior`: pure function; see the class."""
        self.prior = prior

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """(x, latents) -> ((x1, latents), aux)."""
        x, latents = x
        x1, x2 = tf.split(x, 2, axis=-1)
        value, aux = self.prior(params, x1)
        mean, log_deviation = tf.split(value, 2, axis=-1)
        z = (x2 - mean) * tf.exp(-log_deviation)
        return (x1, (*latents, z)), (aux, LogDeterminant(-sum_per_image(log_deviation)))

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """(x1, latents) -> (x, latents)."""
        x1, (*latents, z) = y
        mean, log_deviation = tf.split(self.prior(params, x1)[0], 2, axis=-1)
        x2 = z * tf.exp(log_deviation) + mean
        return tf.concat([x1, x2], axis=-1), tuple(latents)
