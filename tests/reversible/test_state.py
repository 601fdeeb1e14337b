"""A unit's state moves as its layers' would that are called one after the other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.reversible import Sequence


@pytest.mark.parametrize("backprop", ["reversible", "stored", "checkpoint"])
def test_moving_averages_are_those_of_their_own_layer(backprop):
    def norm():
        return keras.layers.BatchNormalization(momentum=0.5)

    rng = np.random.default_rng(0)
    # Halves that no moving average could take for each other.
    x1 = tf.constant(rng.standard_normal([8, 3]) + 5, tf.float32)
    x2 = tf.constant(2 * rng.standard_normal([8, 3]) - 3, tf.float32)
    layer = Sequence([(norm(), norm())], backprop=backprop)
    f, g = norm(), norm()
    y1 = x1 + f(x2, training=True)
    y2 = x2 + g(y1, training=True)
    for got, wanted in zip(layer((x1, x2), training=True), (y1, y2), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    for own, alone in ((layer.f_layers[0], f), (layer.g_layers[0], g)):
        for value, wanted in zip(own.variables, alone.variables, strict=True):
            np.testing.assert_allclose(value.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-5)


class Noisy(keras.layers.Layer):
    """Adds noise of the global seed, which no layer holds."""

    def call(self, x, training=None):
        return x + keras.random.normal((4,)) if training else x


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: keras.layers.SpectralNormalization(keras.layers.Dense(4)), "kernel"),
        (Noisy, "seed_generator_state.*SeedGenerator that the layer holds"),
    ],
    ids=["weight", "global seed"],
)
@pytest.mark.parametrize("backprop", ["reversible", "stored", "checkpoint"])
def test_what_is_assigned_and_would_be_lost_is_named(make, name, backprop):
    layer = Sequence([(make(), keras.layers.Dense(4))], backprop=backprop)
    x = tf.ones([2, 8])
    layer(x)  # assigns nothing
    with pytest.raises(ValueError, match=f"{layer.f_layers[0].name} assigns to .*{name}"):
        layer(x, training=True)
