"""Recomputation: the same gradients, and none of it before the gradient has arrived."""

import numpy as np
import tensorflow as tf

from resnet.reversible.checks import angle_between
from resnet.reversible.gradients import recompute, value_and_gradient

X = tf.constant(np.random.default_rng(0).standard_normal([5, 3]), tf.float32)
W = tf.constant(np.random.default_rng(1).standard_normal([3, 3]), tf.float32)


def layer(params, x):
    y = tf.tanh(tf.matmul(x, params["w"]))
    return y, {"mean": tf.reduce_mean(y)}


def gradients(function):
    def run(x, w):
        with tf.GradientTape() as tape:
            tape.watch((x, w))
            y, aux = function({"w": w}, x)
            loss = tf.reduce_sum(y * y)
        return loss, aux["mean"], *tape.gradient(loss, (x, w))

    return tf.function(run, autograph=False).get_concrete_function(
        tf.TensorSpec(X.shape), tf.TensorSpec(W.shape)
    )


def test_values_and_gradients_are_the_functions_own():
    for got, wanted in zip(gradients(recompute(layer))(X, W), gradients(layer)(X, W), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def ancestors(op):
    """Operations that must have run before one, by data or by control."""
    found, left = set(), [op]
    while left:
        current = left.pop()
        for before in (*[tensor.op for tensor in current.inputs], *current.control_inputs):
            if before not in found:
                found.add(before)
                left.append(before)
    return found


def test_it_waits_for_the_gradient():
    graph = gradients(recompute(layer)).graph
    first, again = [op for op in graph.get_operations() if op.type == "Tanh"]
    # The gradient of the loss is made of what the first run returned; the second, of it.
    assert first in ancestors(again)
    assert first not in ancestors(first) and again not in ancestors(first)
    plain = [op for op in gradients(layer).graph.get_operations() if op.type == "Tanh"]
    assert len(plain) == 1


def test_gradients_of_what_is_not_used_are_zeros():
    def half(params, x):
        return x * 2.0, ()

    y, dx, dparams = value_and_gradient(half, {"w": W}, X, tf.ones_like(X))
    np.testing.assert_array_equal(y, 2 * X)
    np.testing.assert_array_equal(dx, np.full(X.shape, 2))
    np.testing.assert_array_equal(dparams["w"], np.zeros(W.shape))


def test_angles_between_vectors():
    def degrees(one, other):
        return float(angle_between(*(tf.constant(v, tf.float64) for v in (one, other))))

    assert degrees([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == 0
    for angle in (1e-6, 0.5, 60, 90, 179):
        radians = np.radians(angle)
        turned = [3 * np.cos(radians), 3 * np.sin(radians)]
        np.testing.assert_allclose(degrees([2.0, 0.0], turned), angle, rtol=1e-6)
