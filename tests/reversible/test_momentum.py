"""The momentum coupling: stored backprop's gradients, and what an inverse loses."""

import numpy as np
import pytest
import tensorflow as tf

from resnet import reversible
from resnet.reversible import run_sequence


def function(w, x):
    return tf.tanh(x @ w), {"seen": tf.reduce_mean(x)}


def case(depth, dtype, seed=0):
    rng = np.random.default_rng(seed)
    params = [tf.constant(rng.standard_normal([6, 6]) / 3, dtype) for _ in range(depth)]
    return params, tuple(tf.constant(rng.standard_normal([4, 6]), dtype) for _ in "xv")


def test_it_is_a_residual_network_with_a_velocity():
    params, (x, v) = case(3, tf.float64)
    units = [reversible.MomentumCoupling(function, 0.8)] * 3
    (y, velocity), aux = run_sequence(units, params, (x, v))
    for w, found in zip(params, aux, strict=True):
        np.testing.assert_allclose(found["seen"], np.mean(x))
        v = 0.8 * v + 0.2 * np.tanh(x @ w)
        x = x + v
    np.testing.assert_allclose(y, x, rtol=1e-12)
    np.testing.assert_allclose(velocity, v, rtol=1e-12)


@pytest.mark.parametrize("form", ["unrolled", "loop"])
def test_gradients_are_those_of_stored_backprop(form):
    params, x = case(8, tf.float64)
    coupling = reversible.MomentumCoupling(function)

    def gradients(units, params, backprop):
        with tf.GradientTape() as tape:
            tape.watch((params, x))
            y, _ = run_sequence(units, params, x, backprop)
            loss = tf.add_n([tf.reduce_sum(half**3) for half in y])
        dparams, dx = tape.gradient(loss, (params, x))
        return [*(dparams if len(dparams) > 1 else tf.unstack(dparams[0])), *dx]

    wanted = gradients([coupling] * 8, params, "stored")
    units, own = [coupling] * 8, params
    if form == "loop":
        units, own = [reversible.Repeated(coupling, 8)], [tf.stack(params)]
    for got, other in zip(gradients(units, own, "reversible"), wanted, strict=True):
        np.testing.assert_allclose(got, other, rtol=1e-9, atol=1e-9)


def lost(momentum, depth):
    """How far the inverse is off, over float32's precision."""
    params, x = case(depth, tf.float32)
    unit = reversible.MomentumCoupling(function, momentum)
    y, _ = run_sequence([unit] * depth, params, x)
    for w in params[::-1]:
        y = unit.inverse(w, y)
    error = max(np.abs(a - b).max() for a, b in zip(x, y, strict=True))
    return error / np.finfo(np.float32).eps


def test_what_an_inverse_loses_grows_by_the_momentums_inverse():
    for momentum in (0.9, 0.5):
        assert 0.1 < lost(momentum, 12) / momentum**-12 < 100
    assert lost(0.5, 20) > 100 * lost(0.5, 10)


def test_a_momentum_that_does_not_invert_is_refused():
    for momentum in (0, 1, -0.5):
        with pytest.raises(ValueError, match=r"must be in \(0, 1\): the inverse divides by it"):
            reversible.MomentumCoupling(function, momentum)
