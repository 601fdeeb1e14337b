"""check_invertible and check_gradients find what is wrong, and leave the state alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.reversible import (
    AdditiveCoupling,
    NotReversibleError,
    Sequence,
    check_gradients,
    check_invertible,
    checks,
    get_flow,
    run_sequence,
    stored_bytes,
)


def dense(scale=1.0, dtype="float32"):
    start = keras.initializers.RandomNormal(stddev=scale)
    return keras.Sequential(
        [
            keras.layers.BatchNormalization(dtype=dtype),
            keras.layers.Dense(4, "tanh", kernel_initializer=start, dtype=dtype),
            keras.layers.Dropout(0.2, dtype=dtype),
            keras.layers.Dense(4, kernel_initializer=start, dtype=dtype),
        ]
    )


def make(num_units=3, scale=1.0, **options):
    keras.utils.set_random_seed(1)
    return Sequence([(dense(scale), dense(scale)) for _ in range(num_units)], **options)


@pytest.fixture
def x():
    values = np.random.default_rng(0).standard_normal([6, 8])
    return tf.constant(np.round(values * 4096) / 4096, tf.float32)


def test_errors_are_small_and_none_in_exact_mode(x):
    plain, exact = make(), make(exact=True)
    assert 0 < check_invertible(plain, x) < 1e-5
    assert check_invertible(exact, x) == 0
    errors = check_gradients(plain, x)
    assert set(errors) == {v.path for v in plain.trainable_variables} | {"input"}
    assert 0 < max(error.relative for error in errors.values()) < 1e-3
    assert all(e.relative == e.angle == 0 for e in check_gradients(exact, x).values())


def test_layers_that_were_not_built_and_pairs(x):
    for value in (x, tf.split(x, 2, axis=-1)):
        assert check_invertible(make(), value) < 1e-5
        assert max(e.relative for e in check_gradients(make(), value).values()) < 1e-3


def test_the_state_is_left_as_it_was(x):
    layer = make()
    layer.build(x.shape)
    before = [v.numpy() for v in layer.non_trainable_variables]
    check_gradients(layer, x)
    check_invertible(layer, x, training=False)
    for variable, value in zip(layer.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert layer.backprop == "reversible"


def test_large_values_lose_the_input(x):
    layer = make(num_units=4, scale=30.0)
    with pytest.raises(NotReversibleError, match=r"the inverse is off by .* use exact=True"):
        check_invertible(layer, x, tolerance=1e-7)
    with pytest.raises(NotReversibleError, match=r"the gradient of .* is off by .* degrees\)"):
        check_gradients(layer, x, tolerance=1e-9)


def test_functions_that_are_not_deterministic(x):
    class Noise(keras.layers.Layer):
        def call(self, x):
            return x * tf.random.uniform([])

    layer = Sequence([(Noise(), dense())])
    for check in (check_gradients, check_invertible):
        with pytest.raises(NotReversibleError, match="F or G is not deterministic"):
            check(layer, x)


def test_what_does_not_help_is_not_advised(x):
    affine = Sequence([(keras.layers.Dense(8), keras.layers.Dense(8))], "affine_sigmoid")
    for layer, said in {
        affine: "use float64, smaller scales or fewer units",
        make(): "use exact=True or fewer units",
        make(backprop="checkpoint"): "F or G computes something else when it is run again",
    }.items():
        with pytest.raises(NotReversibleError, match=said):
            check_gradients(layer, x, tolerance=-1.0)


def test_a_mask_by_name_and_a_flow(x):
    layer = Sequence([(keras.layers.Dense(4), keras.layers.Dense(4))])
    assert check_invertible(layer, x, mask=tf.ones([6], tf.bool)) < 1e-5
    assert max(e.relative for e in check_gradients(layer, x, mask=None).values()) < 1e-3
    flow = get_flow("realnvp", image_size=8, num_levels=2, num_units=2, width=4)
    with pytest.raises(TypeError, match=r"compare layer\.inverse\(layer\.latents\(x\)\)"):
        check_invertible(flow, x)


class Mine(keras.layers.Layer):
    """A layer around `run_sequence`: two couplings of dense kernels, with weights added in build.

    off: what its inverse is wrong by. wrong: what its reversible gradients are wrong by.
    """

    def __init__(self, off=0.0, wrong=1.0):
        super().__init__()
        self.backprop, self.off, self.wrong = "reversible", off, wrong
        unit = AdditiveCoupling(lambda w, x: (tf.tanh(x @ w), ()), lambda w, x: (x @ w, ()))
        self.couplings = [unit, unit]

    def build(self, shape):
        side = shape[-1] // 2
        self.kernels = [self.add_weight(shape=[side, side]) for _ in range(4)]

    def params(self):
        w = [tf.convert_to_tensor(kernel) for kernel in self.kernels]
        return [(w[0], w[1]), (w[2], w[3])]

    def call(self, x):
        halves = tuple(tf.split(x, 2, axis=-1))
        y, _ = run_sequence(self.couplings, self.params(), halves, self.backprop)
        return tf.concat(y, axis=-1) * (1.0 if self.backprop == "stored" else self.wrong)

    def inverse(self, y):
        halves = tf.split(y, 2, axis=-1)
        for coupling, params in zip(self.couplings[::-1], self.params()[::-1], strict=True):
            halves = coupling.inverse(params, halves)
        return tf.concat(halves, axis=-1) + self.off


def test_layers_of_ones_own(x):
    assert check_invertible(Mine(), x) < 1e-5
    errors = check_gradients(Mine(), x)
    assert len(errors) == 5 and max(e.relative for e in errors.values()) < 1e-4
    with pytest.raises(NotReversibleError, match="the inverse is off"):
        check_invertible(Mine(off=0.1), x)
    with pytest.raises(NotReversibleError, match=r"the gradient of .* is off"):
        check_gradients(Mine(wrong=1.1), x)


def test_what_is_zero_but_for_rounding_has_no_direction(x):
    """A dense layer's bias before what takes the mean off."""

    class Centred(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(4, name="inner")

        def call(self, x):
            h = self.inner(x) * 100
            return tf.tanh(0.01 * (h - tf.reduce_mean(h, axis=0)))

    keras.utils.set_random_seed(1)
    errors = check_gradients(Sequence([(Centred(), Centred()) for _ in range(3)]), x)
    biases = {name: error for name, error in errors.items() if name.endswith("inner/bias")}
    assert len(biases) == 6 and all(error.angle == 0 for error in biases.values())
    assert any(error.angle for error in errors.values())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_what_is_coarse_rounding_alone_is_not_named(x, dtype, monkeypatch):
    def errors_of(layer, small):
        stored = {"kernel": np.ones(4), "bias": np.full(4, small)}
        runs = iter([stored, stored, stored | {"bias": np.full(4, 0.85 * small)}])
        monkeypatch.setattr(checks, "_gradients", lambda *_: next(runs))
        return check_gradients(layer, x)["bias"]

    small = 0.05 * checks.LEAST_SHARES[dtype]
    coarse, fine = (
        Sequence([(keras.layers.Dense(4, dtype=name), keras.layers.Dense(4, dtype=name))])
        for name in (f"mixed_{dtype}", "float32")
    )
    error = errors_of(coarse, small)
    assert error.angle == 0 and 0 < error.relative < 0.01
    with pytest.raises(NotReversibleError, match=r"gradient of bias is off by 0\.15"):
        errors_of(fine, small)
    with pytest.raises(NotReversibleError, match=r"gradient of bias is off by 0\.15"):
        errors_of(coarse, 1.0)


class Shifted(keras.layers.Layer):
    """A layer that cannot be called without its second argument."""

    def __init__(self):
        super().__init__()
        self.inner = keras.layers.Dense(4)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x, context):
        return self.inner(x) + context


def test_a_layer_is_built_with_what_its_call_takes(x):
    def fresh():
        return Sequence([(Shifted(), dense()) for _ in range(2)])

    context = tf.ones([6, 4])
    assert check_invertible(fresh(), x, context=context) < 1e-5
    assert max(e.relative for e in check_gradients(fresh(), x, context=context).values()) < 1e-3


def test_what_overflows_is_said_and_no_remedy_that_is_refused(x):
    keras.utils.set_random_seed(1)
    start = keras.initializers.RandomNormal(stddev=1e3)
    f, g = (keras.layers.Dense(8, kernel_initializer=start) for _ in range(2))
    with pytest.raises(
        NotReversibleError, match=r"the inverse is not finite, .*: use float64, fewer"
    ):
        check_invertible(Sequence([(f, g)], "affine"), x)


def test_a_function_that_returns_no_pair_is_named():
    coupling = AdditiveCoupling(lambda p, x: tf.tanh(x), lambda p, x: (tf.tanh(x), ()))
    halves = (tf.zeros([2, 3]), tf.zeros([2, 3]))
    with pytest.raises(TypeError, match=r"F must return a pair \(value, aux\), and returned Eager"):
        run_sequence([coupling], [((), ())], halves)
    with pytest.raises(TypeError, match=r"pure function must return a pair \(value, aux\)"):
        stored_bytes(lambda p, x: tf.tanh(x), (), tf.zeros([2, 3]))


def test_variables_that_share_a_path_are_told_apart(x):
    def net():
        return keras.Sequential([keras.layers.Dense(4, name="dense")], name="residual")

    layer = Sequence([(net(), net()) for _ in range(3)])
    errors = check_gradients(layer, x)
    assert len(layer.trainable_variables) == 12 and len(errors) == 13
    assert any(name.endswith("dense/kernel #6") for name in errors)


class Table(keras.layers.Layer):
    """Rows of a table, whose gradient is sparse, and a loss in the layer's own type."""

    def build(self, shape):
        self.table = self.add_weight(shape=(7, shape[-1]), regularizer="l2")

    def call(self, x):
        return tf.tanh(x) * tf.cast(tf.gather(self.table, [0, 1, 2, 3, 1, 0]), x.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sparse_gradients_and_losses_of_another_type(x, dtype):
    layer = Sequence([(Table(), Table()) for _ in range(2)], dtype=dtype)
    errors = check_gradients(layer, tf.cast(x, dtype))
    assert max(error.relative for error in errors.values()) < 1e-5
    assert len(errors) == 5


def test_zeros_have_an_inverse():
    assert check_invertible(make(), tf.zeros([2, 8])) == 0
