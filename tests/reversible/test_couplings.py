"""Every coupling against stored backprop: outputs, gradients, aux, and its inverse."""

import numpy as np
import pytest
import tensorflow as tf

from resnet.reversible import (
    AdditiveCoupling,
    AffineCoupling,
    Coupling,
    Repeated,
    run_sequence,
)

WIDTH, BATCH, UNITS = 6, 5, 4


def dense(params, x):
    """A small F with an aux value; as wide as its parameters."""
    h = tf.tanh(tf.matmul(x, params["w"]) + params["b"])
    return tf.matmul(h, params["v"]), {"mean": tf.reduce_mean(h)}


class Sheared(Coupling):
    """A user's own: forward and inverse, and nothing else."""

    def forward(self, params, x):
        x1, x2 = x
        y1 = x1 * tf.exp(0.1 * params["s"]) + dense(params, x2)[0]
        return (y1, x2 + 0.5 * tf.sin(y1)), ()

    def inverse(self, params, y):
        y1, y2 = y
        x2 = y2 - 0.5 * tf.sin(y1)
        return (y1 - dense(params, x2)[0]) * tf.exp(-0.1 * params["s"]), x2


# name -> (coupling, channels that F and G return for one of x, one parameter nest or a pair)
COUPLINGS = {
    "additive": (AdditiveCoupling(dense, dense), 1, True),
    "affine exp": (AffineCoupling(dense, dense), 2, True),
    "affine sigmoid": (AffineCoupling(dense, dense, "sigmoid"), 2, True),
    "a user's": (Sheared(), 1, False),
}
# A value times the conditioning of a few units; float32 has 6e-8.
TOLERANCE = {tf.float64: 1e-10, tf.float32: 1e-4}


def draw_params(rng, factor, is_pair, dtype, leading=()):
    def draw(*shape):
        return tf.constant(0.4 * rng.standard_normal([*leading, *shape]), dtype)

    def one():
        out = WIDTH * factor
        return {"w": draw(WIDTH, 8), "b": draw(8), "v": draw(8, out), "s": draw(WIDTH)}

    return (one(), one()) if is_pair else one()


def make(name, dtype, repeated):
    """(units, params, x), all units alike; `repeated` puts all but the first into a loop."""
    coupling, factor, is_pair = COUPLINGS[name]
    rng = np.random.default_rng(3)
    x = tuple(tf.constant(rng.standard_normal([BATCH, WIDTH]), dtype) for _ in range(2))
    first = draw_params(rng, factor, is_pair, dtype)
    if repeated:
        others = draw_params(rng, factor, is_pair, dtype, [UNITS - 1])
        return [coupling, Repeated(coupling, UNITS - 1)], [first, others], x
    params = [draw_params(rng, factor, is_pair, dtype) for _ in range(UNITS - 1)]
    return [coupling] * UNITS, [first, *params], x


def run(units, params, x, backprop, compiled):
    def all_of_it():
        with tf.GradientTape() as tape:
            tape.watch((params, x))
            y, aux = run_sequence(units, params, x, backprop)
            loss = tf.reduce_sum(y[0] * y[0]) + tf.reduce_sum(tf.sin(y[1]) * y[0])
        gradients = tape.gradient(loss, (params, x), unconnected_gradients="zero")
        return y, gradients, aux

    return (tf.function(all_of_it, autograph=False) if compiled else all_of_it)()


def assert_close(got, wanted, tolerance):
    for one, other in zip(tf.nest.flatten(got), tf.nest.flatten(wanted), strict=True):
        error = np.linalg.norm(np.subtract(one, other))
        assert error <= tolerance * (1 + np.linalg.norm(other))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", COUPLINGS)
def test_outputs_gradients_and_aux_are_those_of_stored_backprop(name, dtype, repeated, compiled):
    units, params, x = make(name, dtype, repeated)
    wanted = run(units, params, x, "stored", compiled)
    got = run(units, params, x, "reversible", compiled)
    assert_close(got, wanted, TOLERANCE[dtype])


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", COUPLINGS)
def test_inverse_restores_the_input(name, dtype, repeated):
    units, params, x = make(name, dtype, repeated)
    y, _ = run_sequence(units, params, x, "stored")
    for unit, unit_params in zip(units[::-1], params[::-1], strict=True):
        y = unit.inverse(unit_params, y)
    assert_close(y, x, TOLERANCE[dtype])


@pytest.mark.parametrize("name", COUPLINGS)
def test_a_loop_is_the_unrolled_sequence(name):
    units, params, x = make(name, tf.float64, repeated=True)
    unrolled = [units[0]] * UNITS
    apart = [tf.nest.map_structure(lambda p, i=i: p[i], params[1]) for i in range(UNITS - 1)]
    y, (dparams, dx), _ = run(units, params, x, "reversible", True)
    other_y, (other_dparams, other_dx), _ = run(unrolled, [params[0], *apart], x, "stored", True)
    assert_close((y, dx, dparams[0]), (other_y, other_dx, other_dparams[0]), 1e-10)
    for i in range(UNITS - 1):
        at_i = tf.nest.map_structure(lambda p, i=i: p[i], dparams[1])
        assert_close(at_i, other_dparams[1 + i], 1e-10)


def test_errors():
    with pytest.raises(ValueError, match="unknown scale 'cosh': choose one of exp, tanh, sig"):
        AffineCoupling(dense, dense, "cosh")
    params = draw_params(np.random.default_rng(0), 1, True, tf.float32)
    params = tuple(p | {"v": p["v"][:, :5]} for p in params)
    x = (tf.zeros([2, WIDTH]), tf.zeros([2, WIDTH]))
    with pytest.raises(ValueError, match="returns 5 channels, but scale and shift side by side"):
        AffineCoupling(dense, dense).forward(params, x)
    with pytest.raises(NotImplementedError, match="Coupling has no inverse: define it, or"):
        Coupling().inverse((), x)
