"""One tensor in several places of x, params or arguments: its gradient counts each place once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet import reversible


def normal(*shape, seed):
    return tf.random.stateless_normal(shape, [seed, 7])


X, C = normal(3, 8, seed=0), normal(3, 4, seed=1)


class Lifting(reversible.Coupling):
    """The additive coupling, with the backward pass that every coupling has."""

    def __init__(self, f, g):
        self.f, self.g = f, g

    def forward(self, params, x):
        f, aux_f = self.f(params[0], x[1])
        g, aux_g = self.g(params[1], x[0] + f)
        return (x[0] + f, x[1] + g), (aux_f, aux_g)

    def inverse(self, params, y):
        x2 = y[1] - self.g(params[1], y[0])[0]
        return y[0] - self.f(params[0], x2)[0], x2


class TwoContexts(keras.layers.Layer):
    def __init__(self, width=4):
        super().__init__()
        self.dense = keras.layers.Dense(width, "tanh")

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x, a=None, b=None):
        y, times = self.dense(x), self.dense.units // 4
        return y * tf.tile(a, [1, times]) + tf.tile(tf.sin(b), [1, times])


def of_layer(coupling, loop, width=4):
    """(backprop -> y, tensors): a sequence whose two arguments are one tensor."""
    keras.utils.set_random_seed(0)
    layer = reversible.Sequence(
        [(TwoContexts(width), TwoContexts(width)) for _ in range(2)], coupling=coupling, loop=loop
    )
    layer(X, a=C, b=C)

    def run(backprop):
        layer.backprop = backprop
        return layer(X, a=C, b=C)

    return run, [X, C]


def of_pair():
    """A sequence called with a tensor and the tensor itself."""
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    layer = reversible.Sequence([(dense(4, "tanh"), dense(4, "tanh")) for _ in range(2)])
    layer((C, C))

    def run(backprop):
        layer.backprop = backprop
        return layer((C, C))

    return run, [C]


def of_params():
    """Units whose F and G have one kernel; of the second, as two parameters."""
    w = 0.3 * normal(4, 4, seed=2)

    def once(params, x):
        return tf.tanh(x @ params), ()

    def twice(params, x):
        return tf.tanh(x @ params["a"]) * tf.reduce_mean(params["b"]), ()

    units = [reversible.AdditiveCoupling(once, once), Lifting(once, once), Lifting(twice, twice)]
    params = [(w, w), (w, w), ({"a": w, "b": w}, {"a": w, "b": w})]
    return lambda backprop: reversible.run_sequence(units, params, (C, C + 1), backprop)[0], [w, C]


CASES = {
    "additive": lambda: of_layer("additive", False),
    "affine": lambda: of_layer("affine_sigmoid", False, width=8),
    "own coupling": lambda: of_layer(Lifting, False),
    "own coupling, loop": lambda: of_layer(Lifting, True),
    "pair": of_pair,
    "params": of_params,
}


def gradients(run, tensors, backprop, compiled):
    def step():
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            y = tf.nest.flatten(run(backprop))
            loss = tf.add_n([tf.reduce_sum(part * tf.cos(part)) for part in y])
        return tape.gradient(loss, tensors)

    return (tf.function(step, autograph=False) if compiled else step)()


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_that_of_stored_backprop(case, compiled):
    run, tensors = CASES[case]()
    wanted = gradients(run, tensors, "stored", compiled)
    ways = ["reversible"] if "loop" in case else ["reversible", "checkpoint"]
    for backprop in ways:
        for got, want in zip(gradients(run, tensors, backprop, compiled), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, err_msg=backprop)
