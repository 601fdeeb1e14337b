"""What Sequence passes to F and G beside x, and the losses that they add: against plain Keras."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet import reversible
from resnet.reversible import Function, Sequence, check_gradients, check_invertible

BATCH, LENGTH, WIDTH = 3, 5, 4
WAYS = [("reversible", False), ("reversible", True), ("checkpoint", False), ("stored", True)]


def small_dense(factor, **options):
    start = keras.initializers.RandomNormal(stddev=0.1)
    return keras.layers.Dense(factor * WIDTH, kernel_initializer=start, **options)


@keras.saving.register_keras_serializable("tests")
class Attention(keras.layers.Layer):
    """Attention to the stream, or to a context; adds a loss of its own."""

    def __init__(self, factor=1, **kwargs):
        super().__init__(**kwargs)
        self.factor, self.supports_masking = factor, True
        self.inner = keras.layers.MultiHeadAttention(2, 3, dtype=self.dtype_policy)
        self.out = small_dense(factor, dtype=self.dtype_policy)

    def build(self, shape):
        self.inner.build(shape, shape)
        self.out.build(shape)
        self.built = True

    def call(self, x, attention_mask=None, context=None, mask=None):
        other = x if context is None else context
        h = self.inner(x, other, value_mask=mask, attention_mask=attention_mask)
        self.add_loss(0.3 * tf.reduce_mean(h * h))
        return self.out(h)

    def get_config(self):
        return super().get_config() | {"factor": self.factor}


def make(coupling="additive", dtype="float64", factor=1, **options):
    keras.utils.set_random_seed(1)
    regularizer = keras.regularizers.L2(0.1)
    units = [
        (
            Attention(factor, dtype=dtype),
            small_dense(factor, activity_regularizer=regularizer, dtype=dtype),
        )
        for _ in range(3)
    ]
    return Sequence(units, coupling, dtype=dtype, **options)


def draw(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape))


def lower_triangle():
    return tf.constant(np.tri(LENGTH, dtype=bool)[None])


def by_hand(layer, x, **arguments):
    """(output, sum of losses) of the units, one layer called after the other."""
    affine = layer.coupling == "affine"
    x1, x2 = tf.split(x, 2, axis=-1)
    losses = []

    def masked(half):  # as a model's tensors are
        half = tf.identity(half)
        if arguments.get("mask") is not None:
            half._keras_mask = arguments["mask"]
        return half

    for f, g in zip(layer.f_layers, layer.g_layers, strict=True):
        value = f(masked(x2), **arguments)
        losses += f.losses
        x1 = x1 * tf.exp(value[..., :WIDTH]) + value[..., WIDTH:] if affine else x1 + value
        value = g(masked(x1))
        losses += g.losses
        x2 = x2 * tf.exp(value[..., :WIDTH]) + value[..., WIDTH:] if affine else x2 + value
    return tf.concat([x1, x2], -1), tf.add_n(losses)


def step(layer, x, run, **arguments):
    """(output, losses, gradients of variables, x and the float arguments)."""
    sources = [x, *(a for a in arguments.values() if a.dtype.is_floating)]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        y, extra = run(x, **arguments)
        loss = tf.reduce_sum(tf.sin(y) * y) + 1.7 * extra
    variables = [v.value for v in layer.trainable_variables]
    return y, extra, tape.gradient(loss, [*variables, *sources])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("backprop", "loop"), WAYS)
@pytest.mark.parametrize("coupling", ["additive", "affine"])
def test_masks_contexts_and_losses_are_those_of_the_layers_by_hand(
    coupling, backprop, loop, compiled
):
    layer = make(coupling, factor=1 + (coupling == "affine"), backprop=backprop, loop=loop)
    x, arguments = (
        draw(BATCH, LENGTH, 2 * WIDTH),
        {"attention_mask": lower_triangle(), "context": draw(BATCH, LENGTH, WIDTH, seed=1)},
    )

    def run(x, **arguments):
        y = layer(x, **arguments)
        assert len(layer.losses) == 1
        return y, layer.losses[0]

    layer.build(x.shape)
    wanted = step(layer, x, lambda x, **a: by_hand(layer, x, **a), **arguments)

    def whole(x, arguments):
        return step(layer, x, run, **arguments)

    got = (tf.function(whole, autograph=False) if compiled else whole)(x, arguments)
    for one, other in zip(tf.nest.flatten(got), tf.nest.flatten(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    plain, _ = by_hand(layer, x)
    assert np.abs(plain - wanted[0]).max() > 0.01  # the arguments matter


def test_the_checks_take_the_arguments_and_see_the_losses():
    layer, x = make(dtype="float32"), tf.cast(draw(BATCH, LENGTH, 2 * WIDTH), tf.float32)
    arguments = {"attention_mask": lower_triangle()}
    assert check_invertible(layer, x, **arguments) < 1e-5
    errors = check_gradients(layer, x, tolerance=1e-4, **arguments)
    assert len(errors) == len(layer.trainable_variables) + 1


def test_a_loss_counts_once_in_fit():
    layer = make(dtype="float32")
    x = np.asarray(draw(BATCH, LENGTH, 2 * WIDTH), np.float32)
    layer.build(x.shape)
    _, wanted = by_hand(layer, x)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", lambda y, output: 0 * tf.reduce_sum(output))
    assert model.evaluate(x, x, verbose=0) == pytest.approx(float(wanted), rel=1e-5)
    history = model.fit(x, x, epochs=20, batch_size=BATCH, verbose=0).history["loss"]
    assert history[0] == pytest.approx(float(wanted), rel=1e-5)
    assert history[-1] < 0.8 * history[0]


def test_a_keras_mask_reaches_f_and_the_layers_behind():
    tokens = np.array([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0]])
    layer = make(dtype="float32")
    h = keras.layers.Embedding(6, 2 * WIDTH, mask_zero=True)(inputs := keras.Input([LENGTH]))
    model = keras.Model(inputs, [h, layer(h)])
    h, got = model(tokens)
    wanted, _ = by_hand(layer, h, mask=tf.constant(tokens != 0))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    assert np.abs(wanted - by_hand(layer, h)[0]).max() > 1e-3
    np.testing.assert_array_equal(got._keras_mask, tokens != 0)


@pytest.mark.filterwarnings("error")
def test_a_mask_is_not_said_to_end_at_layers_that_do_not_pass_it_on():
    def half():
        return keras.Sequential([keras.layers.Dense(WIDTH)])  # does not support masking

    layer = Sequence([(half(), half())])
    h = keras.layers.Embedding(6, 2 * WIDTH, mask_zero=True)(inputs := keras.Input([LENGTH]))
    got = keras.Model(inputs, layer(h))(tokens := np.array([[1, 2, 3, 0, 0]]))
    np.testing.assert_array_equal(got._keras_mask, tokens != 0)


class Inner(keras.layers.Layer):
    """Attention whose call says nothing of masks: Keras' layers inside take them from x."""

    def __init__(self):
        super().__init__()
        self.inner = keras.layers.MultiHeadAttention(2, 3)

    def build(self, shape):
        self.inner.build(shape, shape)
        self.built = True

    def call(self, x):
        return self.inner(x, x)


@pytest.mark.parametrize("loop", [False, True])
def test_layers_inside_of_f_see_a_keras_mask_too(loop):
    layer = Sequence([(Inner(), keras.layers.Dense(WIDTH)) for _ in range(2)], loop=loop)
    h = keras.layers.Embedding(9, 2 * WIDTH, mask_zero=True)(inputs := keras.Input([None]))
    model = keras.Model(inputs, layer(h))
    short, padded = (model(np.array([[1, 2, 3, *zeros]])) for zeros in ([], [0, 0]))
    np.testing.assert_allclose(padded[:, :3], short, rtol=1e-4, atol=1e-5)
    embedded = model.layers[1](np.array([[1, 2, 3, 0, 0]]))
    errors = check_gradients(layer, embedded)
    assert max(error.relative for error in errors.values()) < 1e-3


@keras.saving.register_keras_serializable("tests")
class Needy(keras.layers.Layer):
    """Cannot be called without a context."""

    def build(self, shape):
        self.dense = keras.layers.Dense(WIDTH)
        self.dense.build(shape)
        self.built = True

    def call(self, x, context):
        return self.dense(x) * context


# Keras' own, of NumPy 2, when it saves.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_arguments_in_a_functional_model_are_saved_and_loaded(tmp_path):
    layer = Sequence([(Needy(), keras.layers.Dense(WIDTH)) for _ in range(2)])
    x, context = keras.Input([LENGTH, 2 * WIDTH]), keras.Input([LENGTH, WIDTH])
    model = keras.Model([x, context], layer(x, context=context))
    values = [tf.cast(draw(2, LENGTH, w, seed=w), tf.float32) for w in (2 * WIDTH, WIDTH)]
    wanted = model(values)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(values), wanted)
    assert len(loaded.layers[-1]) == 2


def test_an_argument_that_nobody_takes():
    layer, x = make(dtype="float32"), tf.zeros([BATCH, LENGTH, 2 * WIDTH])
    for run in (layer, layer.inverse):
        with pytest.raises(TypeError, match="no F and no G has an argument 'maks'"):
            run(x, maks=1)


class Mean(keras.layers.Layer):
    """The mean over the second axis, which would be broadcast."""

    def call(self, x):
        return tf.reduce_mean(x, 1, keepdims=True)


class Noise(keras.layers.Layer):
    def __init__(self, seeds):
        super().__init__()
        self.seeds = seeds

    def call(self, x):
        return keras.random.normal(tf.shape(x), seed=self.seeds)


class Counting(keras.layers.Layer):
    def __init__(self, where):
        super().__init__()
        self.where = where
        if where == "attribute":
            self.calls = tf.Variable(0.0, trainable=False)
        if where == "generator":
            self.noise = tf.random.Generator.from_seed(1)

    def build(self, shape):
        if self.where == "list":
            self.calls = [tf.Variable(0.0, trainable=False)]

    def call(self, x):
        return x


class WithoutStates(reversible.AdditiveCoupling):
    def forward(self, params, x):
        return super().forward(params, x)[0], ()


def test_couplings_of_ones_own_and_layers_that_do_not_fit():
    x = tf.zeros([2, 3, 8])
    with pytest.raises(ValueError, match=r"F returns shape \(2, 1, 4\), but the half"):
        Sequence([(Mean(), Mean())], coupling=reversible.AdditiveCoupling)(x)
    with pytest.raises(TypeError, match="aux of a coupling must begin with F's and G's"):
        Sequence([(Noise(0), Noise(0))], coupling=WithoutStates)(x)


class ListOfStates(reversible.AdditiveCoupling):
    def forward(self, params, x):
        y, aux = super().forward(params, x)
        return [y, [*aux]]


@pytest.mark.parametrize("loop", [False, True])
def test_an_aux_may_be_a_list(loop):
    keras.utils.set_random_seed(0)
    pairs = [(small_dense(1), small_dense(1)) for _ in range(2)]
    layer, x = Sequence(pairs, coupling=ListOfStates, loop=loop), tf.cast(draw(3, 8), tf.float32)
    errors = check_gradients(layer, x)
    assert max(error.relative for error in errors.values()) < 1e-3


def test_state_that_would_move_twice_is_refused():
    x = tf.zeros([2, 8])
    seeds = keras.random.SeedGenerator(1)
    with pytest.raises(ValueError, match=r"noise.* and noise.* both move .*seed_generator_state"):
        Sequence([(Noise(seeds), Noise(seeds))])(x)
    before = seeds.state.numpy()
    layer = Sequence([(Noise(seeds), small_dense(1)), (Noise(seeds), small_dense(1))])
    with pytest.raises(ValueError, match="both move"):
        layer(x)
    np.testing.assert_array_equal(seeds.state, before)  # nothing moved before it was said
    for where in ("attribute", "list", "generator"):
        with pytest.raises(ValueError, match=r"counting.*\.(calls|noise) is, .* a tf.Variable"):
            Sequence([(Counting(where), small_dense(1))])(x)
    with pytest.raises(ValueError, match=r"in it, a tf.Variable or tf.random.Generator"):
        reversible.Flow([[(Counting("list"), Counting("list"))]], downsampling=None)(x)


def test_exact_mode_says_that_it_rounds_its_input():
    keras.utils.set_random_seed(1)
    layer = Sequence([(keras.layers.Dense(4), keras.layers.Dense(4))], exact=True)
    x = tf.cast(draw(6, 8), tf.float32)
    with pytest.warns(UserWarning, match=r"rounds its input to multiples of 0\.000244.* by up to"):
        assert check_invertible(layer, x) == 0
    assert check_invertible(layer, tf.round(x)) == 0  # silent: warnings are errors here


# Keras' own, of NumPy 2, when it saves.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_units_in_a_loop_are_saved_loaded_and_copied(tmp_path):
    layer = Sequence([(small_dense(1), small_dense(1)) for _ in range(3)], loop=True)
    inputs = keras.Input([2 * WIDTH])
    model = keras.Model(inputs, layer(inputs))
    x = tf.cast(draw(BATCH, 2 * WIDTH), tf.float32)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].loop
    np.testing.assert_array_equal(loaded(x), model(x))
    np.testing.assert_array_equal(copy.deepcopy(model)(x), model(x))


@pytest.mark.parametrize("others", [{}, {"attention_mask": lower_triangle()}])
def test_a_keras_mask_counts_beside_other_arguments_and_in_the_inverse(others):
    embedding = keras.layers.Embedding(6, 2 * WIDTH, mask_zero=True)
    tokens = tf.constant([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0]])
    h, layer = embedding(tokens), make(dtype="float32", exact=True)
    wanted, _ = by_hand(layer, tf.round(h * 4096) / 4096, mask=tokens != 0, **others)
    np.testing.assert_allclose(layer(h, **others), wanted, rtol=1e-3, atol=1e-3)
    assert np.abs(layer(h, **others) - layer(tf.identity(h), **others)).max() > 1e-3
    with pytest.warns(UserWarning, match="rounds its input"):
        assert check_invertible(layer, h, **others) == 0
    assert np.abs(layer.inverse(layer(h)) - h).max() < 2**-12


def test_what_f_cannot_be_called_with_and_returns():
    attention = keras.layers.MultiHeadAttention(1, 4)
    with pytest.raises(TypeError, match=r"F of unit 0 \(.*\) cannot be called with one tensor"):
        Sequence([(attention, keras.layers.Dense(4))])(tf.zeros([2, 3, 8]))
    with pytest.raises(ValueError, match="called with 3 tensors, not two"):
        Sequence([(small_dense(1), small_dense(1))])([tf.zeros([2, 4])] * 3)
    for check in (check_gradients, check_invertible):
        with pytest.raises(TypeError, match=r"is no reversible.Sequence"):
            check(small_dense(1), tf.zeros([2, 4]))
    with pytest.raises(TypeError, match="give the function first"):
        Function({"w": np.eye(2)}, lambda params, x: x)


def test_values_past_the_exact_range_are_said():
    layer = Sequence([(small_dense(1), small_dense(1))], exact=True)
    with pytest.warns(UserWarning, match="sums are exact below 2048 only"):
        check_invertible(layer, tf.fill([2, 2 * WIDTH], 5000.0))


class Sums(keras.layers.Layer):
    """x times a kernel, plus the sum of what it is given, times a factor."""

    def __init__(self, **kwargs):
        super().__init__(dtype="float64", **kwargs)
        self.out = small_dense(1, dtype="float64")

    def build(self, shape):
        self.out.build(shape)
        self.built = True

    def call(self, x, others, factor):
        others = [tf.cast(tf.convert_to_tensor(one), tf.float64) for one in tf.nest.flatten(others)]
        return self.out(x) + factor * tf.add_n([one * x for one in others])


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(
    ("backprop", "loop"),
    [("reversible", False), ("reversible", True), ("checkpoint", False), ("stored", True)],
)
def test_gradients_flow_to_every_float_tensor_in_an_argument(backprop, loop, compiled):
    keras.utils.set_random_seed(1)
    layer = Sequence(
        [(Sums(), Sums()) for _ in range(3)], dtype="float64", backprop=backprop, loop=loop
    )
    x, a, b = draw(BATCH, 2 * WIDTH), tf.constant(0.3, tf.float64), draw(BATCH, WIDTH, seed=1)
    variable = keras.Variable(0.2, dtype="float64")
    whole = tf.constant(1)  # no gradient flows to it, but it counts

    def gradients(x, a, b):
        with tf.GradientTape() as tape:
            tape.watch((x, a, b))
            y = layer(x, others={"one": [a, whole], "two": (b,)}, factor=variable)
            loss = tf.reduce_sum(y**2)
        return loss, *tape.gradient(loss, (x, a, b, variable.value))

    loss, *found = (tf.function(gradients) if compiled else gradients)(x, a, b)

    def by_hand(x, a, b, value):
        x1, x2 = tf.split(x, 2, axis=-1)
        for f, g in zip(layer.f_layers, layer.g_layers, strict=True):
            x1 = x1 + f.out(x2) + value * (a + 1 + b) * x2
            x2 = x2 + g.out(x1) + value * (a + 1 + b) * x1
        return tf.reduce_sum(x1**2) + tf.reduce_sum(x2**2)

    value = tf.convert_to_tensor(variable.value)
    with tf.GradientTape() as tape:
        tape.watch((x, a, b, value))
        wanted_loss = by_hand(x, a, b, value)
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-10)
    for one, other in zip(found, tape.gradient(wanted_loss, (x, a, b, value)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8)


def test_a_scalar_argument_has_room_in_a_memory_budget():
    layer = Sequence([(Sums(), Sums()) for _ in range(3)], dtype="float64", memory_budget=10**6)
    scalar = tf.constant(0.3, tf.float64)
    layer(draw(BATCH, 2 * WIDTH), others=scalar, factor=scalar, training=True)
    assert layer.num_kept == 3


def test_values_that_are_no_tensors_are_handed_on_as_they_are():
    class Repeats(keras.layers.Layer):
        def call(self, x, times):
            assert isinstance(times, int)
            return tf.add_n([x] * times)

    layer, x = Sequence([(Repeats(), Repeats())]), tf.ones([2, 4])
    np.testing.assert_array_equal(layer(x, times=3), [[4, 4, 13, 13]] * 2)
