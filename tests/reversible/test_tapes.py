"""Under tapes of the user's: eagerly, nothing is held; second derivatives are right or refused."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.reversible import AdditiveCoupling, Inverse, Sequence, run_sequence

MADE = []  # weak references to what F and G made
X = tf.constant(np.random.default_rng(0).standard_normal([6, 8]))


class Tanh(keras.layers.Layer):
    """tanh of a product, three times."""

    def build(self, shape):
        start = keras.initializers.RandomNormal(stddev=0.5)
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]), initializer=start)
        self.built = True

    def call(self, x):
        for _ in range(3):
            x = tf.tanh(tf.matmul(x, self.kernel))
            MADE.append(weakref.ref(x))
        return x


def make(backprop="reversible", exact=False, num_units=3):
    keras.utils.set_random_seed(1)
    units = [(Tanh(dtype="float64"), Tanh(dtype="float64")) for _ in range(num_units)]
    layer = Sequence(units, backprop=backprop, exact=exact, dtype="float64")
    layer(X)
    return layer


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    ("backprop", "share"), [("reversible", 0), ("checkpoint", 0), ("stored", 1)]
)
def test_eagerly_a_tape_keeps_activations_where_they_are_stored_alone(backprop, share, exact):
    layer = make(backprop, exact)
    MADE.clear()
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(layer(X) ** 2)
    gc.collect()
    assert len(MADE) == 18 and sum(ref() is not None for ref in MADE) == share * 18
    assert all(g is not None for g in tape.gradient(y, layer.trainable_variables))


def second_derivatives(layer):
    """Of the squared norm of the input's gradient: with respect to input and weights."""
    variables = [v.value for v in layer.trainable_variables]
    with tf.GradientTape() as outer:
        outer.watch(X)
        with tf.GradientTape() as inner:
            inner.watch(X)
            y = tf.reduce_sum(layer(X) ** 2)
        penalty = tf.reduce_sum(inner.gradient(y, X) ** 2)
    return outer.gradient(penalty, [X, *variables])


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(
    ("backprop", "exact"),
    [("reversible", False), ("checkpoint", False), ("checkpoint", True)],
)
def test_second_derivatives_are_stored_backprops(backprop, exact, compiled):
    layer = make(backprop, exact)
    wanted = second_derivatives(make("stored", exact))
    found = (tf.function(second_derivatives) if compiled else second_derivatives)(layer)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_second_derivatives_of_an_exact_unit_are_refused(compiled):
    layer = make(exact=True)
    with pytest.raises(NotImplementedError, match='exact=False, or backprop="stored"'):
        (tf.function(second_derivatives) if compiled else second_derivatives)(layer)


@pytest.mark.parametrize("backprop", ["reversible", "checkpoint"])
def test_a_gradient_of_what_was_frozen_since_is_refused(backprop):
    """Frozen, batch norm would be run again with its averages, as another function."""

    def net():
        return keras.Sequential(
            [keras.layers.BatchNormalization(), keras.layers.Dense(4, "tanh")], name="net"
        )

    layer = Sequence([(net(), net())], backprop=backprop)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(X)
        y = tf.reduce_sum(layer(X, training=True) ** 2)
    before = tape.gradient(y, X)
    layer.trainable = False
    with pytest.raises(ValueError, match="net was frozen or thawed before its gradient"):
        tape.gradient(y, X)
    layer.trainable = True
    np.testing.assert_array_equal(tape.gradient(y, X), before)


def dense(params, x):
    return tf.tanh(tf.matmul(x, params)), ()


@pytest.mark.parametrize("way", ["by itself", "reversible", "stored"])
def test_an_exact_inverse_has_the_gradients_of_one_that_is_not(way):
    rng = np.random.default_rng(2)
    params = [tuple(tf.constant(0.3 * rng.standard_normal([4, 4])) for _ in "fg")]
    halves = tuple(tf.split(X, 2, axis=-1))

    def gradients(exact):
        coupling = AdditiveCoupling(dense, dense, exact)
        with tf.GradientTape() as tape:
            tape.watch((params, halves))
            if way == "by itself":
                x = coupling.inverse(params[0], halves)
            else:
                x, _ = run_sequence([Inverse(coupling)], params, halves, way)
            loss = tf.reduce_sum(x[0] ** 2) + tf.reduce_sum(tf.sin(x[1]) * x[0])
        return tape.gradient(loss, (params, halves))

    pairs = zip(*(tf.nest.flatten(gradients(exact)) for exact in (True, False)), strict=True)
    for found, wanted in pairs:
        np.testing.assert_allclose(found, wanted, rtol=1e-2, atol=1e-2)
