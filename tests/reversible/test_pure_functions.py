"""What is no pure function, or no coupling's: said before gradients are wrong."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet import reversible
from resnet.reversible import AdditiveCoupling, AffineCoupling, run_sequence

BACKPROPS = ["reversible", "stored", "checkpoint"]


def normal(*shape, seed=0):
    return tf.random.stateless_normal(shape, [seed, 7])


X = (normal(3, 4, 6), normal(3, 4, 6, seed=1))
W = 0.3 * normal(6, 6, seed=2)


def dense(params, x):
    return tf.tanh(x @ params), ()


def mean(params, x):
    return tf.reduce_mean(tf.tanh(x @ params), 1, keepdims=True), ()


def twice(function):
    def run(params, x):
        value, aux = function(params, x)
        return tf.concat([value, value], -1), aux

    return run


@pytest.mark.parametrize("backprop", BACKPROPS)
@pytest.mark.parametrize(
    ("unit", "params", "name"),
    [
        (AdditiveCoupling(mean, dense), (W, W), "F returns"),
        (AdditiveCoupling(dense, mean), (W, W), "G returns"),
        (AffineCoupling(twice(mean), twice(dense)), (W, W), "scale and shift of F have"),
        (AffineCoupling(twice(dense), twice(mean)), (W, W), "scale and shift of G have"),
        (reversible.MomentumCoupling(mean), W, "F returns"),
        (reversible.AdditiveTransition(mean, dense, dense, dense), (W,) * 4, "F returns"),
        (reversible.AdditiveTransition(dense, mean, dense, dense), (W,) * 4, "G returns"),
    ],
)
def test_a_value_that_would_be_broadcast_is_refused(unit, params, name, backprop):
    message = rf"{name} shape \(3, 1, 6\), but the half .* has \(3, 4, 6\): return that shape"
    with pytest.raises(ValueError, match=message):
        run_sequence([unit], [params], X, backprop)


def test_shortcuts_are_pure_functions_whose_aux_is_not_kept():
    def bare(params, x):
        return x @ params

    def with_term(params, x):
        return x @ params, reversible.Term(tf.reduce_sum(x))

    def run(*shortcuts):
        unit = reversible.AdditiveTransition(dense, dense, *shortcuts)
        run_sequence([unit], [(W,) * 4], X)

    for place in range(2):
        shortcuts = [dense, dense]
        shortcuts[place] = bare
        with pytest.raises(TypeError, match=f"shortcut{place + 1} must return a pair"):
            run(*shortcuts)
        shortcuts[place] = with_term
        with pytest.raises(ValueError, match=f"shortcut{place + 1} adds a Term to the loss"):
            run(*shortcuts)


@pytest.mark.parametrize("backprop", BACKPROPS)
def test_an_aux_that_is_none_and_a_pair_alone(backprop):
    class Alone(reversible.Coupling):
        def forward(self, params, x):
            return x[0] * 2.0, x[1] * 2.0

        def inverse(self, params, y):
            return y[0] / 2.0, y[1] / 2.0

    def no_aux(params, x):
        return x, None

    with pytest.raises(TypeError, match=r"F must return a pair .* returned None as aux"):
        run_sequence([AdditiveCoupling(no_aux, no_aux)], [((), ())], X, backprop)
    with pytest.raises(TypeError, match=r"unit 0 returns a pair of tensors.* return \(y, \(\)\)"):
        run_sequence([Alone()], [()], X, backprop)


@pytest.mark.parametrize("backprop", BACKPROPS)
def test_one_tensor_and_a_count_are_no_pair_alone(backprop):
    class Counted(reversible.Coupling):
        def forward(self, params, x):
            return tf.concat(x, -1), tf.constant(3)

        def inverse(self, params, y):
            return tuple(tf.split(y, 2, axis=-1))

    y, (count,) = run_sequence([Counted()], [()], X, backprop)
    assert y.shape == (3, 4, 12) and count == 3


def test_numbers_are_broadcast_and_arrays_of_the_shape_are_not():
    def array(params, x):
        return np.ones(x.shape, np.float32), ()

    (y1, _), _ = run_sequence([AdditiveCoupling(array, array)], [((), ())], X)
    np.testing.assert_array_equal(y1, X[0] + 1)
    with pytest.raises(ValueError, match=r"F returns shape \(\), but the half"):
        run_sequence([AdditiveCoupling(lambda p, x: (2.0, ()), array)], [((), ())], X)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("backprop", BACKPROPS)
@pytest.mark.parametrize("kind", [tf.Variable, keras.Variable])
def test_variables_may_be_params_and_not_read_besides(kind, backprop, compiled):
    variable = kind(W)
    value = variable if kind is tf.Variable else variable.value

    def besides(params, x):
        return tf.tanh(x @ tf.convert_to_tensor(value)), ()

    def gradient(function, params):
        def step():
            with tf.GradientTape() as tape:
                y, _ = run_sequence([AdditiveCoupling(function, function)] * 2, params, X, backprop)
                loss = tf.reduce_sum(y[0] * y[1])
            return tape.gradient(loss, value)

        return (tf.function(step, autograph=False) if compiled else step)()

    def by_hand(w):
        x1, x2 = X
        for _ in range(2):
            x1 = x1 + tf.tanh(x2 @ w)
            x2 = x2 + tf.tanh(x1 @ w)
        return tf.reduce_sum(x1 * x2)

    with tf.GradientTape() as tape:
        tape.watch(W)
        loss = by_hand(W)
    wanted = tape.gradient(loss, W)
    np.testing.assert_allclose(gradient(dense, [(variable,) * 2] * 2), wanted, rtol=1e-4, atol=1e-4)
    if backprop == "stored":
        np.testing.assert_allclose(gradient(besides, [((), ())] * 2), wanted, rtol=1e-4, atol=1e-4)
        return
    with pytest.raises(TypeError, match=r"variables .* are read by .* pass them in its params"):
        gradient(besides, [((), ())] * 2)


def test_the_grid_needs_a_wide_type():
    unit = AdditiveCoupling(dense, dense, exact=True)
    halves = tuple(tf.cast(half, tf.float16) for half in X)
    params = (tf.cast(W, tf.float16),) * 2
    with pytest.raises(ValueError, match="values in float32 or float64, and these are float16"):
        run_sequence([unit], [params], halves)
    with pytest.raises(ValueError, match="values in float32 or float64, and these are bfloat16"):
        reversible.Haar(exact=True).forward((), tf.zeros([1, 2, 2, 1], tf.bfloat16))


def test_what_forgets_channels_cannot_be_turned_round():
    unit = AdditiveCoupling(dense, dense)
    for coupling in (
        reversible.Chain([unit, reversible.Pad(2)]),
        reversible.First(reversible.Pad(2)),
        reversible.Halves(reversible.Pad(2)),
        reversible.Repeated(reversible.Pad(2), 2),
        reversible.SelfUpdating(reversible.Pad(2), tuple, lambda gradient: ()),
    ):
        with pytest.raises(ValueError, match=f"inverse of {type(coupling).__name__} forgets"):
            reversible.Inverse(coupling)
    reversible.Inverse(reversible.Chain([unit, reversible.Squeeze()]))
    transition = reversible.AdditiveTransition(dense, dense, dense, dense)
    chain = reversible.Chain([transition, unit])  # right, if nothing is to be inverted
    (y1, _), _ = run_sequence([chain], [[(W,) * 4, (W, W)]], X, "stored")
    assert y1.shape == X[0].shape


def test_what_cannot_be_repeated_or_kept():
    transition = reversible.AdditiveTransition(dense, dense, dense, dense)
    with pytest.raises(TypeError, match="AdditiveTransition cannot be repeated"):
        reversible.Repeated(transition, 2)
    with pytest.raises(ValueError, match="num_kept is -1, but must be 0 or more"):
        run_sequence([AdditiveCoupling(dense, dense)], [(W, W)], X, num_kept=-1)
