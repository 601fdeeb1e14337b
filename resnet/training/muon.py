"""Muon: momentum whose update of a convolution's kernel is made orthogonal.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; the update's size and decay: Liu et
al. 2025, https://arxiv.org/abs/2502.16982. Keras' own leaves kernels of convolutions to Adam.
"""

import tensorflow as tf

from resnet.training.momentum import Momentum
from resnet.training.slots import variables_beside
from resnet.weights.checkpoint_format import MOMENTUM

# Of the iteration that makes singular values 1, roughly: a x + b x^3 + c x^5.
SMALLEST_NORM = 1e-7
COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 5
UPDATE_SIZE = 0.2  # root mean square of an update's values, over the learning rate


class Muon:
    """Kernels, as matrices of (rows x columns x input channels, filters), by

        m = momentum m + g;  w = w - learning_rate 0.2 sqrt(longer side) U,

    U the nearest semi-orthogonal matrix to g + momentum m, by five Newton-Schulz iterations.
    All that is no kernel takes Nesterov's form of momentum at another learning rate.

    Attributes:
      slots: {"Momentum": {storage name: tf.Variable}}, the accumulators m.
    """

    def __init__(self, variables, kernels, momentum, sgd_ratio):
        """Makes accumulators of zeros.

        Args:
          variables: {storage name: tf.Variable}.
          kernels: names of those that are a convolution's, (..., rows, columns, in, filters).
          momentum: of all.
          sgd_ratio: learning rate of the others over that of kernels.
        """
        self._kernels = {name: variables[name] for name in variables if name in kernels}
        others = {name: v for name, v in variables.items() if name not in kernels}
        self._others, self._sgd_ratio = Momentum(others, momentum, nesterov=True), sgd_ratio
        self._momentum = momentum
        self._accumulators = variables_beside(self._kernels, MOMENTUM, tf.zeros_like)
        slots = self._accumulators | self._others.slots[MOMENTUM]
        self.slots = {MOMENTUM: {name: slots[name] for name in variables}}

    def __call__(self, gradients, learning_rate, step=None):
        """Updates the variables; arguments as of `Optimizer.apply`."""
        self._others(gradients, learning_rate * self._sgd_ratio, step)
        groups = {}  # of matrices of one shape: each iteration is one product
        for name, accumulator in self._accumulators.items():
            m = self._momentum * accumulator + gradients[name]
            accumulator.assign(m)
            *_, rows, columns, channels, filters = m.shape
            matrices = gradients[name] + self._momentum * m
            matrices = tf.reshape(matrices, [-1, rows * columns * channels, filters])
            groups.setdefault(tuple(matrices.shape[1:]), []).append((name, matrices))
        for shape, members in groups.items():
            names, matrices = zip(*members, strict=True)
            size = UPDATE_SIZE * float(max(shape)) ** 0.5
            update = learning_rate * size * orthogonal(tf.concat(matrices, axis=0))
            parts = tf.split(update, [stack.shape[0] for stack in matrices])
            for name, part in zip(names, parts, strict=True):
                kernel = self._kernels[name]
                kernel.assign_sub(tf.reshape(part, kernel.shape))


def orthogonal(matrices):
    """Matrices of the same singular vectors, with singular values near 1, in 0.7 to 1.2.

    Args:
      matrices: (N, rows, columns) float32.

    Returns:
      A tensor like matrices; near zeros of norms below 1e-7.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = tf.linalg.matrix_transpose(matrices) if is_tall else matrices
    # As in the original: a kernel without gradients has momentum that leaves float32's range.
    x = x / (tf.norm(x, axis=[1, 2], keepdims=True) + SMALLEST_NORM)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * square + c * tf.matmul(square, square), x)
    return tf.linalg.matrix_transpose(x) if is_tall else x
