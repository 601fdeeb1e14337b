"""Layers against NumPy, on so few values that no constant can hide."""

import numpy as np
import pytest
import tensorflow as tf

from resnet.models.layers import Convolution, batch_norm, dense, move_average, pad_channels

RNG = np.random.default_rng(0)
X = (RNG.standard_normal([2, 2, 1, 3]) * [0.05, 1, 5] + [1, 0, -3]).astype(np.float32)
PARAMS = {
    f"bn/{name}": tf.constant(RNG.uniform(0.5, 1.5, 3), tf.float32)
    for name in ("gamma", "beta", "ema_mean", "ema_var")
}


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(training):
    y, statistics = batch_norm(PARAMS, "bn", tf.constant(X), training)
    values = X.reshape(-1, 3).astype(np.float64)
    mean, variance = values.mean(axis=0), values.var(axis=0)  # of the population, of 4 values
    if training:
        np.testing.assert_allclose(statistics["bn/ema_mean"], mean, rtol=1e-5)
        np.testing.assert_allclose(statistics["bn/ema_var"], variance, rtol=1e-4)
    else:
        assert statistics == {}
        mean, variance = PARAMS["bn/ema_mean"].numpy(), PARAMS["bn/ema_var"].numpy()
    gamma, beta = PARAMS["bn/gamma"].numpy(), PARAMS["bn/beta"].numpy()
    # The first channel's variance is about 0.001, as large as what is added to it.
    wanted = gamma * (X - mean) / np.sqrt(variance + 1e-3) + beta
    np.testing.assert_allclose(y, wanted, rtol=1e-3, atol=1e-4)


def test_a_moving_average_moves_by_a_hundredth():
    variable = tf.Variable([1.0, -2.0])
    move_average(variable, tf.constant([3.0, 4.0]))
    np.testing.assert_allclose(variable, [1.02, -1.94], rtol=1e-6)


def test_dense_and_padding():
    params = {"logit/w": tf.constant([[1.0, 2.0], [3.0, 4.0]]), "logit/b": tf.constant([0.5, -1.0])}
    np.testing.assert_allclose(dense(params, "logit", tf.constant([[1.0, 10.0]])), [[31.5, 41.0]])
    padded = pad_channels(tf.ones([1, 1, 1, 2]), 1, 3)
    np.testing.assert_array_equal(padded[0, 0, 0], [0, 1, 1, 0, 0, 0])


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_sees_its_own_group_alone(groups):
    convolution = Convolution(3, 2, 4, 6, groups)
    (shape,) = (parameter.shape for parameter in convolution.parameters("c").values())
    assert shape == (3, 3, 4 // groups, 6)
    x, w = RNG.standard_normal([1, 4, 4, 4]), RNG.standard_normal(shape)
    params = {"c/w": tf.constant(w, tf.float32)}
    y = convolution(params, "c", tf.constant(x, tf.float32))
    padded = np.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)])  # SAME with stride 2, even side
    for row in range(2):
        for column in range(2):
            patch = padded[0, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            for out in range(6):
                group = out // (6 // groups)
                channels = slice(group * (4 // groups), (group + 1) * (4 // groups))
                wanted = np.sum(patch[..., channels] * w[..., out])
                np.testing.assert_allclose(y[0, row, column, out], wanted, rtol=1e-4, atol=1e-5)
    assert convolution.multiply_adds(4) == 2 * 2 * 9 * (4 // groups) * 6
