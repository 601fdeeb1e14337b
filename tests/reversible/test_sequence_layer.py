"""Sequence against stored backprop: every coupling, kind of F and way to run."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from graph_nodes import nodes_in
from processes import run_file, run_file_afresh
from resnet import reversible
from resnet.reversible import Sequence

SHAPES = {
    "dense": (6, 8),
    "conv2d": (4, 5, 5, 4),
    "conv3d": (3, 4, 4, 4, 4),
    "attention": (3, 6, 8),
}
COUPLINGS = {"additive": 1, "affine": 2, "affine_sigmoid": 2}
# Relative to the largest value; float32 has 6e-8, float64 1e-16, amplified by inversion.
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}


pytestmark = pytest.mark.usefixtures("sums_as_written")


@keras.saving.register_keras_serializable("tests")
class SelfAttention(keras.layers.Layer):
    """Attention of a sequence to itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.MultiHeadAttention(2, 3, dtype=self.dtype_policy)

    def build(self, shape):
        self.inner.build(shape, shape)
        self.built = True

    def call(self, x, training=None):
        return self.inner(x, x, training=training)


def residual(kind, half, factor, has_state, dtype):
    """F or G of a kind, for `half` channels, returning `factor` times as many."""
    layers, out = keras.layers, half * factor
    start = {
        "dense": lambda: [layers.Dense(7, "tanh", dtype=dtype)],
        "conv2d": lambda: [layers.Conv2D(3, 3, padding="same", dtype=dtype)],
        "conv3d": lambda: [layers.Conv3D(3, 3, padding="same", dtype=dtype)],
        "attention": lambda: [SelfAttention(dtype=dtype)],
    }[kind]()
    if has_state:
        start.insert(0, layers.BatchNormalization(dtype=dtype))
        start.append(layers.Dropout(0.3, dtype=dtype))
    small = keras.initializers.RandomNormal(stddev=0.1)
    return keras.Sequential([*start, layers.Dense(out, kernel_initializer=small, dtype=dtype)])


def make(kind, coupling, has_state, dtype, backprop, exact=False, num_units=2):
    keras.utils.set_random_seed(1)
    half, factor = SHAPES[kind][-1] // 2, COUPLINGS[coupling]
    units = [
        tuple(residual(kind, half, factor, has_state, dtype) for _ in range(2))
        for _ in range(num_units)
    ]
    return Sequence(units, coupling, exact=exact, backprop=backprop, dtype=dtype)


def draw(kind, dtype):
    return tf.constant(np.random.default_rng(0).standard_normal(SHAPES[kind]), dtype)


def run(layer, x, compiled, uses=1):
    """(output, gradients of variables and input, state) of a training step."""
    layer.build(x.shape)

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = sum(tf.reduce_sum(tf.sin(y) * y) for _ in range(uses))
            loss += tf.reduce_sum(tf.square(x))  # one gradient: see test_sequence.py
        variables = [v.value for v in layer.trainable_variables]
        return y, tape.gradient(loss, [*variables, x])

    y, gradients = (tf.function(step, autograph=False) if compiled else step)(x)
    return y, gradients, [v.numpy() for v in layer.non_trainable_variables]


def assert_close(got, wanted, tolerance):
    for one, other in zip(tf.nest.flatten(got), tf.nest.flatten(wanted), strict=True):
        error = np.abs(np.subtract(one, other)).max()
        assert error <= tolerance * (1 + np.abs(other).max())


def in_pairs():
    """(coupling, kind, has_state, compiled): each coupling and kind with some way to run it.

    Each coupling is run in all four ways, and each kind in three.
    """
    ways = [(False, False), (True, True), (True, False), (False, True)]
    for i, coupling in enumerate(COUPLINGS):
        for j, kind in enumerate(SHAPES):
            yield coupling, kind, *ways[(i + j) % len(ways)]


@pytest.mark.parametrize(("coupling", "kind", "has_state", "compiled"), list(in_pairs()))
def test_outputs_gradients_and_state_are_those_of_stored_backprop(
    coupling, kind, has_state, compiled
):
    for dtype in ("float64",) if compiled else ("float64", "float32"):
        x = draw(kind, dtype)
        wanted = run(make(kind, coupling, has_state, dtype, "stored"), x, compiled)
        got = run(make(kind, coupling, has_state, dtype, "reversible"), x, compiled)
        assert_close(got, wanted, TOLERANCE[dtype])
        if has_state:  # it did move
            fresh = make(kind, coupling, has_state, dtype, "stored")
            fresh.build(x.shape)
            still = [v.numpy() for v in fresh.non_trainable_variables]
            assert not any(np.array_equal(a, b) for a, b in zip(got[2], still, strict=True))


@pytest.mark.parametrize(
    ("kind", "compiled"), [(kind, bool(i % 2)) for i, kind in enumerate(SHAPES)]
)
def test_exact_gradients_equal_stored_ones_to_the_bit(kind, compiled):
    x = draw(kind, "float32")
    wanted, *others = (
        run(make(kind, "additive", True, "float32", b, exact=True), x, compiled)
        for b in ("stored", "reversible", "checkpoint")
    )
    for got in others:
        for one, other in zip(tf.nest.flatten(got), tf.nest.flatten(wanted), strict=True):
            np.testing.assert_array_equal(one, other)


class Untold(keras.layers.Layer):
    """Layers that need to know of training, in one whose call does not take it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)]
        self.parts.append(keras.layers.Dense(4))

    def build(self, shape):
        for part in self.parts:
            part.build(shape)
        self.built = True

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


@pytest.mark.parametrize("compiled", [False, True])
def test_training_reaches_layers_inside_of_one_that_does_not_take_it(compiled):
    x, found = draw("dense", "float32"), []
    ways = ({"backprop": "stored"}, {"backprop": "checkpoint"}, {}, {"loop": True})
    for way in ways:
        keras.utils.set_random_seed(1)
        units = [(Untold(), Untold()) for _ in range(2)]
        found.append(run(Sequence(units, exact=True, **way), x, compiled))
    for got in found[1:]:
        assert_close(got, found[0], 1e-6)
    fresh = Sequence(units, exact=True)
    still = fresh(x, training=False)
    assert np.abs(still - found[0][0]).max() > 0.1  # training is something else


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("coupling", COUPLINGS)
def test_inverse_restores_the_input(coupling, dtype):
    x = draw("conv2d", dtype)
    layer = make("conv2d", coupling, True, dtype, "reversible")
    assert_close(layer.inverse(layer(x)), x, TOLERANCE[dtype])


def test_exact_inverse_restores_every_bit():
    x = tf.round(draw("conv2d", "float32") * 4096) / 4096
    layer = make("conv2d", "additive", True, "float32", "reversible", exact=True, num_units=8)
    np.testing.assert_array_equal(layer.inverse(layer(x)), x)


def test_output_and_input_used_twice_and_another_split_axis():
    x = tf.constant(np.random.default_rng(0).standard_normal([3, 4, 6]), tf.float64)
    found = []
    for backprop in ("stored", "reversible"):
        keras.utils.set_random_seed(1)
        units = [tuple(keras.layers.Dense(6, "tanh", dtype="float64") for _ in range(2))]
        layer = Sequence(units, split_axis=1, backprop=backprop, dtype="float64")
        found.append(run(layer, x, True, uses=2))
    assert_close(*found, 1e-10)


def functional_model(policy="float32", **options):
    keras.utils.set_random_seed(1)
    units = [
        tuple(
            keras.Sequential(
                [
                    keras.layers.BatchNormalization(dtype=policy),
                    keras.layers.ReLU(dtype=policy),
                    keras.layers.Conv2D(4, 3, padding="same", dtype=policy),
                    keras.layers.Dropout(0.1, dtype=policy),
                ]
            )
            for _ in range(2)
        )
        for _ in range(2)
    ]
    inputs = keras.Input([6, 6, 8])
    h = Sequence(units, dtype=policy, **options)(inputs)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(h))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, loss


# Keras' own, of NumPy 2, when it saves.
saves = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@saves
@pytest.mark.parametrize(("jit_compile", "policy"), [(False, "mixed_bfloat16"), (True, "float32")])
def test_fit_saves_loads_and_exports(tmp_path, jit_compile, policy):
    rng = np.random.default_rng(0)
    images = rng.standard_normal([12, 6, 6, 8]).astype(np.float32)
    labels = (images.mean(axis=(1, 2))[:, 0] > 0).astype(np.int32)
    model, loss = functional_model(policy, exact=True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=jit_compile)
    history = model.fit(images, labels, epochs=8, batch_size=6, verbose=0).history["loss"]
    assert np.isfinite(history).all() and history[-1] < history[0]
    outputs = model(images).numpy()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images).numpy(), outputs)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    # A graph fuses what bfloat16 would round in between.
    tolerance = 1e-5 if policy == "float32" else 2e-2
    np.testing.assert_allclose(exported.serve(images), outputs, rtol=tolerance, atol=tolerance)


def test_nested_sequences_and_frozen_layers():
    x = draw("dense", "float64")
    found = []
    for backprop in ("stored", "reversible"):
        inner = make("dense", "affine", True, "float64", backprop)
        keras.utils.set_random_seed(2)
        half = keras.Sequential([keras.layers.Dense(8, dtype="float64"), inner])
        f = keras.Sequential([half, keras.layers.Dense(4, dtype="float64")])
        g = keras.layers.Dense(4, dtype="float64", trainable=False)
        found.append(run(Sequence([(f, g)], backprop=backprop, dtype="float64"), x, True))
    assert_close(*found, 1e-10)


def dense_pair(*widths, **options):
    return tuple(keras.layers.Dense(width, **options) for width in widths)


def tanh_layer(factor):
    """Layers of different factors differ in nothing that a config says."""

    def activation(x):
        return factor * tf.tanh(x)

    return keras.layers.Dense(4, activation)


@pytest.mark.parametrize(
    ("make_layer", "shape", "message"),
    [
        (lambda: Sequence([]), None, "units is empty"),
        (lambda: Sequence([keras.layers.Dense(4)]), None, r"must be a pair \(F, G\) of layers"),
        (lambda: Sequence([dense_pair(4)]), None, "unit 0 is .* must be a pair"),
        (lambda: Sequence([dense_pair(4, 4)[:1] * 2]), None, r"as in \[\(F, G\)\] \* 3"),
        (
            lambda: Sequence([dense_pair(4, 4, name="one")[:1] * 2]),
            None,
            "layer 'one' stands in un",
        ),
        (
            lambda: Sequence([reversible.Squeeze()]),
            None,
            "a Squeeze, but .* to reversible.run_sequ",
        ),
        (lambda: Sequence([(reversible.Pad(1), *dense_pair(4))]), None, "a Pad, but couplings bel"),
        (lambda: Sequence([dense_pair(4, 4)], "tanh"), None, "unknown coupling 'tanh'"),
        (
            lambda: Sequence([dense_pair(4, 4)], backprop="magic"),
            None,
            "unknown backprop 'magic': choose one of reversible",
        ),
        (lambda: Sequence([dense_pair(8, 8)], "affine", exact=True), None, "exact needs the addi"),
        (
            lambda: Sequence([dense_pair(4, 4)], backprop="stored", memory_budget=9),
            None,
            'memory_budget needs backprop "reversible"',
        ),
        (
            lambda: Sequence([dense_pair(4, 4)], loop=True, memory_budget=9),
            None,
            "loop goes with backprop",
        ),
        (
            lambda: Sequence([dense_pair(4, 4), dense_pair(4, 4, activation="relu")], loop=True),
            (2, 8),
            "F of unit 1 .* is not like that of unit 0, but in a loop",
        ),
        (
            lambda: Sequence([(tanh_layer(k), tanh_layer(1)) for k in (1, 2)], loop=True),
            (2, 8),
            "F of unit 1 .* is not like that of unit 0",
        ),
        (lambda: Sequence([dense_pair(4, 4)], sizes=(3, 4)), (2, 8), "make them add up to it"),
        (lambda: Sequence([dense_pair(4, 4)], sizes=(3, 4, 1)), None, "must be the channels of x1"),
        (lambda: Sequence([dense_pair(4, 4)], split_axis="c"), None, "split_axis is 'c'"),
        (lambda: Sequence([dense_pair(4, 4)], split_axis=5), (2, 8), "has no such axis"),
        (lambda: Sequence([dense_pair(4, 4)], memory_budget=1e9), None, "be an integer of bytes"),
        (lambda: Sequence([dense_pair(4, 4)], memory_budget="1GB"), None, "be an integer of bytes"),
        (
            lambda: Sequence([dense_pair(4, 4)], exact=True, dtype="bfloat16"),
            None,
            'dtype is bfloat16: with "mixed_bfloat16", F and G compute in it',
        ),
        (
            lambda: Sequence([[keras.Sequential([s]) for s in [keras.layers.Dense(4)] * 2]]),
            None,
            "stands in units twice, or in two F or G",
        ),
        (lambda: Sequence([dense_pair(4, 4)]), (2, 7), "axis -1 .* is 7, but must be even"),
        (lambda: Sequence([dense_pair(4, 5)]), (2, 8), r"G of unit 0 .* to \(2, 5\), but the addi"),
        (lambda: Sequence([dense_pair(4, 4)], "affine"), (2, 8), r"needs \(2, 8\) .* have 8 filte"),
        (
            lambda: Sequence([dense_pair(4, 4)], split_axis=1),
            (2, 8, 6),
            r"is 1\).*change split_axis",
        ),
        (
            lambda: Sequence([tuple(keras.layers.Conv2D(2, 3, 2, "same") for _ in range(2))]),
            (1, 8, 8, 4),
            'have 2 filters, or units of Dense, without strides and with padding "same"',
        ),
    ],
)
def test_errors_teach(make_layer, shape, message):
    with pytest.raises(ValueError, match=message):
        make_layer()(tf.zeros(shape))


def test_another_width_is_said_of_the_sequence_itself():
    layer = Sequence([dense_pair(4, 4)], name="mine")
    layer(tf.zeros([2, 8]))
    for x in (tf.zeros([2, 16]), [tf.zeros([2, 8])] * 2):
        wanted = r"mine: its units are built for halves of \(4, 4\) .* with \(8, 8\)"
        for run in (layer, layer.inverse):
            with pytest.raises(ValueError, match=wanted):
                run(x)
    with pytest.raises(ValueError, match="is 7, but must be even"):
        layer(tf.zeros([2, 7]))
    layer = Sequence([dense_pair(3, 5)], sizes=(3, 5), name="mine")
    layer(tf.zeros([2, 8]))
    for run in (layer, layer.inverse):
        with pytest.raises(ValueError, match=r"mine: sizes are \(3, 5\), but axis -1 .* is 10"):
            run(tf.zeros([2, 10]))


@keras.saving.register_keras_serializable("tests")
def scaled_tanh(params, x):
    return params["scale"] * tf.tanh(x @ params["layers"][0]) @ params["layers"][1]


class Lifting(reversible.Coupling):
    """Forward and inverse, and nothing else: y1 = 2 x1 + F(x2), y2 = x2 - G(y1)."""

    def __init__(self, f, g):
        self.f, self.g = f, g

    def forward(self, params, x):
        f, aux_f = self.f(params[0], x[1])
        y1 = 2 * x[0] + f
        g, aux_g = self.g(params[1], y1)
        return (y1, x[1] - g), (aux_f, aux_g)

    def inverse(self, params, y):
        x2 = y[1] + self.g(params[1], y[0])[0]
        return (y[0] - self.f(params[0], x2)[0]) / 2, x2


@keras.saving.register_keras_serializable("tests")
def lifting(f, g):
    return Lifting(f, g)


def function(size_in, size_out):
    draw = np.random.default_rng(size_in).standard_normal
    weights = (0.3 * draw([size_in, 5]), 0.3 * draw([5, size_out]))
    return reversible.Function(
        scaled_tanh, {"scale": np.float64(0.5), "layers": weights}, dtype="float64"
    )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("coupling", [*COUPLINGS, Lifting])
def test_plain_functions_unequal_halves_and_couplings_of_ones_own(coupling, compiled):
    factor = COUPLINGS.get(coupling, 1)
    x = draw("attention", "float64")
    found = []
    for backprop in ("stored", "reversible", "checkpoint"):
        units = [(function(5, 3 * factor), function(3, 5 * factor)) for _ in range(3)]
        layer = Sequence(units, coupling, sizes=(3, 5), backprop=backprop, dtype="float64")
        found.append(run(layer, x, compiled))
        assert len(layer.trainable_variables) == 3 * 2 * 3
    assert_close(found[1], found[0], 1e-10)
    assert_close(found[2], found[0], 1e-10)
    assert_close(layer.inverse(layer(x)), x, 1e-10)


def test_a_pair_goes_in_and_out_and_is_not_split():
    x = draw("attention", "float64")
    halves = [x[..., :3], x[..., 3:]]
    one, two = (
        Sequence([(function(5, 3), function(3, 5))], sizes=sizes, dtype="float64")
        for sizes in ((3, 5), None)
    )
    y = two(halves)
    assert isinstance(y, list)
    np.testing.assert_array_equal(tf.concat(y, -1), one(x))
    assert_close(two.inverse(y), halves, 1e-10)
    assert reversible.check_invertible(two, halves) < 1e-10
    assert set(reversible.check_gradients(two, halves)) > {"input 1", "input 2"}
    inputs = [keras.Input([6, 3]), keras.Input([6, 5])]
    model = keras.Model(inputs, two(inputs))
    assert_close(model(halves), y, 1e-7)


@saves
def test_functions_and_couplings_of_ones_own_are_saved_by_their_registered_names(tmp_path):
    inputs = keras.Input([6, 8], dtype="float64")
    units = [(function(5, 3), function(3, 5))]
    layer = Sequence(units, lifting, sizes=(3, 5), dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    for weight in model.weights:
        weight.assign(weight * 1.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = draw("attention", "float64")
    np.testing.assert_array_equal(loaded(x), model(x))
    config = layer.get_config() | {"coupling": "tests>Unknown"}
    with pytest.raises(ValueError, match="'tests>Unknown' is not registered: decorate it"):
        Sequence.from_config(config)
    config |= {"coupling": "halved"}
    with pytest.raises(
        ValueError, match=r"was not registered .* custom_objects=\{'halved': halved"
    ):
        Sequence.from_config(config)
    with keras.saving.custom_object_scope({"halved": lifting}):
        assert Sequence.from_config(config).coupling is lifting


LOADS = """
import sys

import numpy as np
from resnet import reversible
import keras

def doubled(params, x):
    return 2 * x @ params["w"]

keras.saving.register_keras_serializable("tests")(doubled)
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], model(np.load(sys.argv[2])))
"""


@keras.saving.register_keras_serializable("tests")
def doubled(params, x):
    return 2 * x @ params["w"]


@saves
def test_a_file_loads_in_a_new_process_that_has_touched_no_layer(tmp_path):
    pair = tuple(reversible.Function(doubled, {"w": 0.1 * np.eye(4)}) for _ in range(2))
    inputs = keras.Input([8])
    layer = Sequence([dense_pair(4, 4), pair], "additive", exact=True)
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).standard_normal([3, 8]).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    script = tmp_path / "loads.py"
    script.write_text(LOADS)
    run_file_afresh(script, tmp_path / "model.keras", tmp_path / "x.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), model(x))


def test_gradients_can_be_taken_twice():
    x = draw("dense", "float64")
    layer = make("dense", "additive", True, "float64", "reversible")
    layer.build(x.shape)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = layer(x, training=True)
    variables = [x, *(v.value for v in layer.trainable_variables)]
    assert_close(tape.gradient(y, variables), tape.gradient(y, variables), 0)


def test_a_memory_budget_stores_as_many_units_as_fit(sums_as_written):
    x = draw("dense", "float32")
    unit_bytes, found = None, []
    for units_worth in (0, 1.5, 100):
        options = {"memory_budget": units_worth * unit_bytes} if units_worth else {}
        layer = make("dense", "additive", False, "float32", "reversible", True, 4)
        layer.memory_budget = options.get("memory_budget", 0)
        found.append((*run(layer, x, True), layer.num_kept))
        if unit_bytes is None:
            units, params, _ = layer._units_and_params(True, None, {})
            specs = tuple(tf.TensorSpec([6, 4], tf.float32) for _ in range(2))
            unit_bytes = reversible.stored_bytes(units[0].forward, params[0], specs)
    assert [num_kept for *_, num_kept in found] == [0, 1, 4]
    # Of F and of G: their input of 4 values, and tanh's 7; for each of 6 examples.
    assert unit_bytes == 2 * (4 + 7) * 6 * 4
    for other in found[1:]:
        for a, b in zip(tf.nest.flatten(found[0][:3]), tf.nest.flatten(other[:3]), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("kind", "compiled"), [("dense", True), ("attention", False)])
def test_a_loop_in_exact_mode(kind, compiled, sums_as_written):
    x = draw(kind, "float32")
    found = []
    for backprop, loop in (("stored", False), ("stored", True), ("reversible", True)):
        layer = make(kind, "additive", True, "float32", backprop, True, num_units=4)
        layer.loop = loop
        found.append(run(layer, x, compiled))
    # The framework's own gradient of a loop is another graph, fused and rounded otherwise.
    assert_close(found[1], found[0], TOLERANCE["float32"])
    for a, b in zip(tf.nest.flatten(found[2]), tf.nest.flatten(found[0]), strict=True):
        np.testing.assert_array_equal(a, b)
    x = tf.round(x * 4096) / 4096
    np.testing.assert_array_equal(layer.inverse(layer(x)), x)


def test_a_graph_in_exact_mode_has_sums_of_integers_that_exports_know():
    """ONNX has no AddN of integers."""
    layer = make("dense", "additive", True, "float32", "reversible", True)
    layer.loop = True
    call = tf.function(layer, autograph=False).get_concrete_function(draw("dense", "float32"))
    types = {(node.op, node.attr["T"].type) for node in nodes_in(call.graph)}
    assert ("Less", tf.float32.as_datatype_enum) in types  # what is counted
    assert ("AddN", tf.int32.as_datatype_enum) not in types


@pytest.mark.parametrize("coupling", ["affine", Lifting])
def test_a_loop_takes_every_coupling(coupling):
    x = draw("attention", "float64")
    found = []
    for loop in (False, True):
        factor = COUPLINGS.get(coupling, 1)
        units = [(function(5, 3 * factor), function(3, 5 * factor)) for _ in range(3)]
        layer = Sequence(units, coupling, sizes=(3, 5), loop=loop, dtype="float64")
        found.append(run(layer, x, True))
    assert_close(*found, 1e-10)


def test_functional_models_may_share_their_input():
    inputs = keras.Input([4])
    f, g = (keras.Model(inputs, keras.layers.Dense(4)(inputs)) for _ in "fg")
    assert Sequence([(f, g)])(tf.ones([2, 8])).shape == (2, 8)


def test_autograph_converts_it_without_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(tf.get_logger(), "propagate", True)
    layer = make("dense", "additive", False, "float32", "reversible")
    assert tf.function(lambda x: layer(x, training=True))(draw("dense", "float32")).shape == (6, 8)
    assert "AutoGraph" not in caplog.text


def test_functional_models_alike_go_in_a_loop():
    def half():
        inputs = keras.Input([4])
        return keras.Model(inputs, keras.layers.Dense(4, "tanh")(inputs) + inputs)

    layer = Sequence([(half(), half()) for _ in range(3)], loop=True)
    assert layer(tf.ones([2, 8])).shape == (2, 8)


def test_functions_and_bare_layers_compute_in_a_policy_of_their_own():
    seen = []

    def note(params, x):
        seen.append((params["w"].dtype, x.dtype))
        return x @ params["w"]

    policy = "mixed_bfloat16"
    f, g = (reversible.Function(note, {"w": np.eye(4)}, dtype=policy) for _ in range(2))
    layer = Sequence([(f, g), dense_pair(4, 4, dtype=policy)], dtype=policy)
    inputs = keras.Input([8])
    for call in (layer, keras.Model(inputs, layer(inputs))):
        seen.clear()
        y = call(tf.ones([2, 8]))
        assert y.dtype == "float32" and set(seen) == {(tf.bfloat16, tf.bfloat16)}
    # In float32, 1 + 1 / 512 is not 1.
    x = tf.constant([[1.0 + 1 / 512] * 4])
    shift = Sequence([dense_pair(2, 2, dtype=policy, kernel_initializer="ones")], dtype=policy)
    np.testing.assert_array_equal(shift(x)[0, :2] - x[0, :2], [2, 2])


def test_a_memory_budget_needs_the_batch_size():
    x = np.zeros([6, 8], np.float32)
    labels = np.zeros([6, 8], np.float32)
    for batch_size in (None, 6):
        inputs = keras.Input([8], batch_size=batch_size)
        layer = make("dense", "additive", True, "float32", "reversible")
        layer.memory_budget = 10**9
        model = keras.Model(inputs, layer(inputs))
        model.compile("sgd", "mse")
        if batch_size is None:
            with pytest.raises(ValueError, match="memory_budget needs to know the batch size"):
                model.fit(x, labels, verbose=0)
        else:
            model.fit(x, labels, batch_size=6, verbose=0)
            assert layer.num_kept == 2


def test_replicas_train_to_the_same_bits_with_every_backprop():
    script = pathlib.Path(__file__).with_name("sequence_replicas.py")
    assert run_file(script) == "the same bits\n"


def test_a_layer_may_wrap_it_that_asks_for_its_output_shape():
    inner = Sequence([(keras.layers.Dense(4), keras.layers.Dense(4))])
    model = keras.Sequential([keras.Input((5, 8)), keras.layers.TimeDistributed(inner)])
    x = np.random.default_rng(0).standard_normal([3, 5, 8]).astype(np.float32)
    np.testing.assert_allclose(model(x), inner(x.reshape([15, 8])).numpy().reshape([3, 5, 8]))


def test_in_a_loop_units_are_frozen_alike():
    layer = Sequence([(keras.layers.Dense(4), keras.layers.Dense(4)) for _ in range(2)], loop=True)
    x = tf.ones([3, 8])
    y = layer(x)
    layer.f_layers[1].trainable = False
    with pytest.raises(ValueError, match=r"F of unit 1 .* has other frozen parts than that"):
        layer(x)
    layer.f_layers[0].trainable = False
    np.testing.assert_array_equal(layer(x), y)


def test_in_a_loop_the_same_parts_are_frozen():
    def net():
        return keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(4)])

    layer = Sequence([(net(), net()) for _ in range(2)], loop=True)
    layer(tf.ones([3, 8]))
    for i in range(2):  # as many weights, but others
        layer.f_layers[i].layers[i].trainable = False
    with pytest.raises(ValueError, match=r"F of unit 1 .* has other frozen parts"):
        layer(tf.ones([3, 8]))


def test_determinants_are_no_loss():
    def small(name):
        return keras.layers.Dense(23, kernel_initializer="zeros", name=name)

    layer = Sequence([(small("f"), small("g"))], reversible.SplineCoupling)
    layer(tf.random.stateless_normal([4, 2], [0, 1]), training=True)
    assert layer.losses == []
