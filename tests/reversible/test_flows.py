"""Flows: determinants against dense Jacobians, densities, gradients and samples."""

import math
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from processes import run_file
from resnet import reversible
from resnet.reversible import run_sequence, stored_bytes
from resnet.reversible.gradients import terms_of

N, SIDE, CHANNELS = 2, 2, 4


def convolution(kernel, x):
    return tf.nn.conv2d(tf.tanh(x), kernel, 1, "SAME"), ()


def kernels(seed, *shapes):
    rng = np.random.default_rng(seed)
    return tuple(tf.constant(0.3 * rng.standard_normal((3, 3, *shape))) for shape in shapes)


def mixing():
    found = {
        name: tf.cast(value, tf.float64)
        for name, value in reversible.InvertibleConv.rotation(CHANNELS, 3).items()
    }
    noise = tf.constant(np.random.default_rng(1).standard_normal([3, CHANNELS]) * 0.3)
    found["log_diagonal"] += noise[0]
    found["lower"] += noise[1][:, None] * noise[2]
    return found


def norm():
    rng = np.random.default_rng(2)
    return {name: tf.constant(rng.standard_normal(CHANNELS)) for name in ("log_scale", "shift")}


def affine(scale):
    coupling = reversible.AffineCoupling(convolution, convolution, scale, log_determinant=True)
    return reversible.Halves(coupling)


SPLINE = reversible.Halves(reversible.SplineCoupling(convolution, convolution, 4, bound=1.5))
CASES = {
    "act norm": (reversible.ActNorm(), norm()),
    "invertible convolution": (reversible.InvertibleConv(), mixing()),
    "affine": (affine("exp"), kernels(1, (2, 4), (2, 4))),
    "affine tanh": (affine("tanh"), kernels(1, (2, 4), (2, 4))),
    "affine sigmoid": (affine("sigmoid"), kernels(2, (2, 4), (2, 4))),
    "additive": (
        reversible.Halves(reversible.AdditiveCoupling(convolution, convolution)),
        kernels(3, (2, 2), (2, 2)),
    ),
    "spline": (SPLINE, kernels(4, (2, 22), (2, 22))),
    "squeeze": (reversible.Squeeze(), ()),
    "haar": (reversible.Haar(), ()),
    "chain": (
        reversible.Chain([reversible.ActNorm(), reversible.InvertibleConv(), SPLINE]),
        [norm(), mixing(), kernels(5, (2, 22), (2, 22))],
    ),
}
COUPLING = pytest.mark.parametrize(("coupling", "params"), CASES.values(), ids=CASES)
TRAINED = {name: case for name, case in CASES.items() if case[1]}


def values(seed=0):
    return tf.constant(np.random.default_rng(seed).standard_normal([N, SIDE, SIDE, CHANNELS]))


def dense_log_determinants(function, x):
    """Of function: (1, ...) -> (1, n), at each of x."""
    found = []
    for one in tf.unstack(x):
        flat = tf.reshape(one, [-1])
        with tf.GradientTape() as tape:
            tape.watch(flat)
            y = function(tf.reshape(flat, [1, *one.shape]))
        found.append(np.linalg.slogdet(tape.jacobian(y, flat))[1])
    return np.array(found)


@COUPLING
def test_determinants_are_those_of_the_dense_jacobian(coupling, params):
    x = values()
    y, aux = coupling.forward(params, x)
    wanted = dense_log_determinants(
        lambda one: tf.reshape(coupling.forward(params, one)[0], [-1]), x
    )
    got = np.broadcast_to(reversible.log_determinant(aux), [N])
    np.testing.assert_allclose(got, wanted, atol=1e-8)
    np.testing.assert_allclose(coupling.inverse(params, y), x, atol=1e-10)
    is_flat = coupling in (CASES[name][0] for name in ("squeeze", "haar", "additive"))
    assert bool(terms_of(aux)) != is_flat


def test_a_split_is_a_prior_that_is_learned():
    split, params = reversible.Split(convolution), kernels(6, (2, 4))[0]
    x, before = values(), tf.zeros([N, 1])
    (rest, (kept, z)), aux = split.forward(params, (x, (before,)))
    assert kept is before
    wanted = dense_log_determinants(
        lambda one: tf.concat(
            [tf.reshape(t, [-1]) for t in tf.nest.flatten(split.forward(params, (one, ()))[0])],
            0,
        ),
        x,
    )
    got = reversible.log_determinant(aux)
    np.testing.assert_allclose(got, wanted, atol=1e-8)
    # The density of the other half, under a normal prior of what F says.
    half, other = tf.split(x, 2, -1)
    mean, log_deviation = tf.split(convolution(params, half)[0], 2, -1)
    prior = -0.5 * ((other - mean) / tf.exp(log_deviation)) ** 2 - log_deviation
    prior = tf.reduce_sum(prior, [1, 2, 3])
    np.testing.assert_allclose(got - 0.5 * tf.reduce_sum(z**2, [1, 2, 3]), prior, atol=1e-10)
    restored, latents = split.inverse(params, (rest, (kept, z)))
    np.testing.assert_allclose(restored, x, atol=1e-12)
    assert latents == (before,)


def test_a_spline_of_zeros_is_the_identity_and_so_it_is_outside():
    coupling = reversible.SplineCoupling(lambda p, x: (p * x, ()), lambda p, x: (p, ()))
    x = tf.constant([[[-9.0], [-3.0], [0.0], [0.1], [2.9], [7.0]]], tf.float64)
    zeros = tf.zeros([1, 6, coupling.numbers_per_value], tf.float64)
    (y1, y2), (*_, log) = coupling.forward((zeros, zeros), (x, x))
    for y in (y1, y2):
        np.testing.assert_allclose(y, x, atol=1e-12)
    np.testing.assert_allclose(log.value, [0.0], atol=1e-12)
    bent = zeros + np.random.default_rng(0).standard_normal(zeros.shape)
    (_, y2), _ = coupling.forward((zeros, bent), (x, x))
    is_outside = np.abs(x) >= 3
    np.testing.assert_array_equal(y2.numpy()[is_outside], x.numpy()[is_outside])
    assert np.abs(y2 - x)[0, 2:5].min() > 1e-3


@pytest.mark.parametrize(("coupling", "params"), TRAINED.values(), ids=TRAINED)
@pytest.mark.parametrize("form", ["unrolled", "loop"])
def test_gradients_are_those_of_stored_backprop(coupling, params, form):
    three = [tf.nest.map_structure(tf.identity, params) for _ in range(3)]
    units, all_params = [coupling] * 3, three
    if form == "loop":
        units = [reversible.Repeated(coupling, 3)]
        all_params = [tf.nest.map_structure(lambda *p: tf.stack(p), *three)]

    def gradients(units, params, backprop):
        x = values()
        with tf.GradientTape() as tape:
            tape.watch((x, params))
            y, aux = run_sequence(units, params, x, backprop)
            loss = tf.reduce_sum(y**3)
            if terms_of(aux):
                loss += tf.reduce_sum(reversible.log_determinant(aux) * [1.0, -2.0])
        return tf.nest.flatten(tape.gradient(loss, (x, params), unconnected_gradients="zero"))

    wanted = gradients([coupling] * 3, three, "stored")
    got = gradients(units, all_params, "reversible")
    if form == "loop":
        x, *rest = wanted
        size = len(rest) // 3
        wanted = [x, *(tf.stack(rest[i::size]) for i in range(size))]
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


# ------------------------------------------------------------------ the Keras model

# Keras' own.
saves = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def net(numbers, seed=None):
    """A function of the last axis; of zeros at first, or with a seed of something else."""
    last = "zeros" if seed is None else keras.initializers.RandomNormal(0.0, 0.1, seed)
    return keras.Sequential(
        [
            keras.layers.Dense(16, "tanh", kernel_initializer=keras.initializers.HeNormal(7)),
            keras.layers.Dense(numbers, kernel_initializer=last, bias_initializer=last),
        ]
    )


def of_images(loop=False, seed=1, **options):
    """A flow of (N, 4, 4, 2) in two levels."""
    seeds = iter(range(seed, seed + 100)) if seed else None

    def pairs(channels):
        return [tuple(net(channels, seeds and next(seeds)) for _ in range(2)) for _ in range(3)]

    return reversible.Flow(
        [pairs(8), pairs(16)], [net(8, seeds and next(seeds))], loop=loop, **options
    )


def images(count=5, seed=0):
    return tf.random.stateless_normal([count, 4, 4, 2], [0, seed])


@pytest.mark.parametrize("downsampling", ["squeeze", "haar"])
@pytest.mark.parametrize("loop", [False, True], ids=["unrolled", "loop"])
def test_log_prob_is_that_of_the_dense_jacobian(loop, downsampling):
    flow, x = of_images(loop, downsampling=downsampling), images(2)
    flow.adapt(images(50, 1))
    latents = flow.latents(x)
    assert [tuple(z.shape) for z in latents] == [(2, 2, 2, 4), (2, 1, 1, 16)]

    def flat(one):
        return tf.concat([tf.reshape(z, [-1]) for z in flow.latents(one)], 0)

    normal = -0.5 * sum(np.sum(np.square(z), axis=(1, 2, 3)) for z in latents)
    wanted = normal - 0.5 * 32 * math.log(2 * math.pi) + dense_log_determinants(flat, x)
    np.testing.assert_allclose(flow.log_prob(x), wanted, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(
        flow.bits_per_dimension(x), -wanted / 32 / math.log(2), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(flow.inverse(latents), x, atol=2e-5)


@pytest.mark.parametrize("loop", [False, True], ids=["unrolled", "loop"])
def test_flows_train_as_stored_ones(loop):
    found = {}
    for backprop in ("reversible", "stored"):
        flow = of_images(loop, backprop=backprop)
        flow.adapt(images(50, 1))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(flow(images(), training=True))
        variables = flow.trainable_variables
        found[backprop] = tape.gradient(loss, [v.value for v in variables])
    assert len(variables) == 6 * (5 + 8) + 4
    for variable, got, wanted in zip(variables, *found.values(), strict=True):
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(got, wanted, atol=1e-4 * scale + 1e-7, err_msg=variable.path)


@saves
def test_act_norm_begins_with_what_the_first_batch_needs(tmp_path):
    flow, x = of_images(seed=None), 3 * images(64) + 5
    flow.compile(keras.optimizers.SGD(0.0))
    flow.fit(x.numpy(), batch_size=64, verbose=0)
    for z in flow.latents(x):
        np.testing.assert_allclose(tf.reduce_mean(z, [0, 1, 2]), 0.0, atol=0.5)
        np.testing.assert_allclose(tf.math.reduce_std(z, [0, 1, 2]), 1.0, atol=0.7)
    own = flow._units[0][0]
    squeezed = tf.nn.space_to_depth(x, 2)
    normalised = (squeezed + own["shift"].value) * tf.exp(own["log_scale"].value)
    np.testing.assert_allclose(tf.reduce_mean(normalised, [0, 1, 2]), 0.0, atol=1e-4)
    np.testing.assert_allclose(tf.math.reduce_std(normalised, [0, 1, 2]), 1.0, atol=1e-3)
    flow.fit(x.numpy() * 10, batch_size=64, verbose=0)  # once
    np.testing.assert_allclose(
        (squeezed + own["shift"].value) * tf.exp(own["log_scale"].value), normalised
    )
    flow.save(tmp_path / "flow.keras")
    loaded = keras.saving.load_model(tmp_path / "flow.keras")
    np.testing.assert_array_equal(loaded.log_prob(x), flow.log_prob(x))
    loaded.compile(keras.optimizers.SGD(0.0))
    loaded.fit(x.numpy() * 10, batch_size=64, verbose=0)
    np.testing.assert_array_equal(loaded._units[0][0]["shift"].value, own["shift"].value)


def ring(count=2000):
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, count)
    points = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.standard_normal((count, 2))
    return points.astype(np.float32)


def test_a_density_of_the_plane_is_learned_and_integrates_to_one():
    keras.utils.set_random_seed(0)
    units = [(net(23), net(23)) for _ in range(3)]
    flow = reversible.Flow([units], coupling="spline", downsampling=None, loop=True)
    flow.compile(keras.optimizers.Adam(5e-3))
    history = flow.fit(ring(), epochs=4, batch_size=200, verbose=0).history["loss"]
    # A normal one of the same deviations has 1.56; the ring's own is 0.69.
    assert history[-1] < 1.25 < history[0]
    places = np.linspace(-5, 5, 201, dtype=np.float32)
    grid = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)
    total = np.exp(flow.log_prob(tf.constant(grid))).sum() * (places[1] - places[0]) ** 2
    assert total == pytest.approx(1.0, abs=0.01)
    samples = flow.sample(500, seed=1)
    np.testing.assert_allclose(flow.inverse(flow.latents(samples)), samples, atol=1e-4)
    np.testing.assert_array_equal(flow.sample(500, seed=1), samples)
    radius = np.hypot(*samples.numpy().T)
    assert 0.6 < np.median(radius) < 1.2
    [cold], [warm] = flow.latents(flow.sample(500, 0.5, seed=1)), flow.latents(samples)
    np.testing.assert_allclose(cold, 0.5 * warm, atol=1e-4)


def test_whole_pixels_are_given_noise_and_counted_as_such(monkeypatch):
    pixels = tf.constant(np.random.default_rng(0).integers(0, 256, [4, 4, 4, 2]))
    one, other = of_images(pixel_levels=256), of_images()
    one.adapt(pixels)
    monkeypatch.setattr(keras.random, "uniform", lambda shape, dtype, seed: tf.fill(shape, 0.25))
    other.build((None, 4, 4, 2))
    other.set_weights(one.get_weights()[: len(other.get_weights())])
    places = (tf.cast(pixels, tf.float32) + 0.25) / 256 - 0.5
    wanted = other.log_prob(places) - 32 * math.log(256)
    np.testing.assert_allclose(one.log_prob(pixels), wanted, rtol=1e-6)
    samples = one.sample(3, seed=0)
    assert samples.dtype == tf.int32 and samples.shape == (3, 4, 4, 2)
    assert samples.numpy().min() >= 0 and samples.numpy().max() <= 255
    np.testing.assert_array_equal(
        samples, np.clip(np.floor((other.sample(3, seed=0) + 0.5) * 256), 0, 255)
    )


@saves
@pytest.mark.parametrize("name", reversible.FLOWS)
def test_named_flows_count_bits_of_images(name, tmp_path):
    flow = reversible.get_flow(name, image_size=8, num_levels=2, num_units=2, width=4)
    pixels = np.random.default_rng(0).integers(0, 256, [16, 8, 8, 3]).astype(np.uint8)
    flow.compile(keras.optimizers.Adam(1e-3))
    history = flow.fit(pixels, batch_size=16, epochs=3, verbose=0).history["loss"]
    assert 8.0 < history[-1] < history[0] < 8.6  # uniform pixels have 8
    assert flow.num_dimensions == 8 * 8 * 3
    flow.save(tmp_path / "flow.keras")
    loaded = keras.saving.load_model(tmp_path / "flow.keras")
    np.testing.assert_array_equal(loaded.sample(2, seed=1), flow.sample(2, seed=1))
    with pytest.raises(ValueError, match="unknown flow 'nice': choose one of realnvp, glow"):
        reversible.get_flow("nice")


def test_memory_does_not_grow_with_depth():
    def kept(depth, backprop):
        units, params = [affine("sigmoid")] * depth, [kernels(1, (2, 4), (2, 4))] * depth

        def function(params, x):
            y, aux = run_sequence(units, params, x, backprop)
            return (y, reversible.log_determinant(aux)), ()

        return stored_bytes(function, params, values())

    assert kept(12, "reversible") == kept(3, "reversible") == N * SIDE**2 * CHANNELS * 8
    assert kept(12, "stored") > 5 * kept(12, "reversible")


def test_log_prob_is_that_of_tensorflow_probability():
    tfp = pytest.importorskip("tensorflow_probability", reason="an extra that few have")
    rng = np.random.default_rng(0)
    weights = [tuple(0.3 * rng.standard_normal((2, 4)).astype(np.float32) for _ in "fg")] * 2

    def function(w, x):
        return tf.tanh(x) @ w, ()

    coupling = reversible.AffineCoupling(function, function, log_determinant=True)
    x = tf.random.stateless_normal([6, 4], [0, 1])
    y, aux = run_sequence([reversible.Halves(coupling)] * 2, weights, x)
    got = reversible.log_determinant(aux) - tf.reduce_sum(0.5 * y**2 + 0.5 * np.log(2 * np.pi), 1)
    bijectors = tfp.bijectors

    def layer(w):
        """The second half, moved by the first, as x -> y."""

        def shift_and_log_scale(half, units, **_):
            s, t = tf.split(tf.tanh(half) @ w, 2, -1)
            return t, s

        return bijectors.RealNVP(2, shift_and_log_scale_fn=shift_and_log_scale)

    swap = bijectors.Permute([2, 3, 0, 1])
    steps = [step for f, g in weights for step in (swap, layer(f), swap, layer(g))]
    normal = tfp.distributions.MultivariateNormalDiag(tf.zeros(4), tf.ones(4))
    density = tfp.distributions.TransformedDistribution(
        normal, bijectors.Invert(bijectors.Chain(steps[::-1]))
    )
    np.testing.assert_allclose(got, density.log_prob(x), atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: reversible.Flow([]), "levels holds no units: give each level a list of pairs"),
        (lambda: reversible.Flow([[net(2)]]), r"a unit is .*, but must be a pair \(F, G\)"),
        (lambda: reversible.Flow([[(net(2), net(2))]], coupling="cubic"), "unknown coupling 'cub"),
        (lambda: reversible.Flow([[(net(2), net(2))]], [net(2)]), "priors holds 1 layers, but 1"),
        (lambda: reversible.Flow([[(net(2), net(2))]], pixel_levels=1), "pixel_levels is 1, but"),
        (
            lambda: reversible.Flow([[(net(2), net(2))]])(tf.zeros([2, 3, 4, 1])),
            r"squeeze takes \(N, H, W, C\) with an even height and width, but a level begins with",
        ),
        (
            lambda: reversible.Flow([[(net(2), net(2))]], downsampling=None)(tf.zeros([2, 4])),
            r"F of unit 0 in level 0 .* maps shape \(2, 2\) to \(2, 2\), but .* needs \(2, 4\)",
        ),
        (
            lambda: reversible.Flow([[(net(2), net(2))]], downsampling=None)(tf.zeros([2, 1])),
            "level 0 has 1 channels, which are not to be halved",
        ),
        (
            lambda: reversible.Flow(
                [[(keras.layers.BatchNormalization(), net(1))]],
                coupling="additive",
                downsampling=None,
            )(tf.zeros([2, 2])),
            r"F of unit 0 in level 0 .* holds state \(.*moving_mean.*a flow does not move",
        ),
        (lambda: of_images().sample(2), "has not seen data: call it, fit it or build it first"),
        (lambda: of_images().latents(images()), "has not seen data: call it, fit it or build it"),
        (lambda: of_images().inverse([]), "has not seen data: call it, fit it or build it first"),
        (lambda: reversible.Flow([[(net, net)]]), r"a unit is .*, but must be a pair \(F, G\)"),
        (lambda: of_images(pixel_levels=2.5), "pixel_levels is 2.5, but must be a whole number"),
        (lambda: small_flow().build((None, None, 4)), r"known sizes, but .* for \(None, None, 4\)"),
        (lambda: small_flow().fit(np.zeros(8)), r"known sizes, but was to be built for \(None,\)"),
        (lambda: small_flow().adapt(POINTS[:0]), r"a batch of nothing, \(0, 4\), to adapt to"),
        (lambda: small_flow(dtype="bfloat16"), "in which densities are too coarse: take mixed_bf"),
        (
            lambda: reversible.Flow([[(half_precision(), net(4))]], downsampling=None)(POINTS),
            r"F of unit 0 in level 0 .* computes in float16, whose losses would have to be",
        ),
        (
            lambda: reversible.Flow(
                [[(net(4), net(4))], [(net(2), net(2))]], [net(2)], downsampling=None
            )(POINTS),
            r"prior 0 .* maps shape \(16, 2\) to \(16, 2\), but the split needs \(16, 4\)",
        ),
        (
            lambda: reversible.get_flow("glow", coupling="afine"),
            "unknown coupling 'afine': choose one of 'additive', 'affine'",
        ),
        (
            lambda: reversible.get_flow("glow", downsampling=None),
            "glow halves the sides of its images at each level, but downsampling is None: take",
        ),
    ],
)
def test_what_is_no_flow(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def half_precision():
    return keras.Sequential([keras.layers.Dense(4, dtype="mixed_float16")])


def small_flow(seed=0, activation="tanh", **options):
    keras.utils.set_random_seed(seed)

    def net():
        return keras.Sequential(
            [keras.layers.Dense(8, activation), keras.layers.Dense(4, name="last")]
        )

    levels = [[(net(), net()) for _ in range(2)]]
    return reversible.Flow(levels, downsampling=None, **options)


POINTS = tf.constant(np.random.default_rng(0).standard_normal([16, 4]), tf.float32)


@pytest.mark.parametrize("loop", [False, True])
def test_a_frozen_flow_is_the_same_density(loop):
    flow = small_flow(loop=loop)
    before, latents = flow.log_prob(POINTS), flow.latents(POINTS)
    flow.trainable = False
    np.testing.assert_array_equal(flow.log_prob(POINTS), before)
    np.testing.assert_allclose(flow.inverse(latents), POINTS, atol=1e-5)
    with tf.GradientTape() as tape:  # as a prior: gradients flow to what it is asked of
        tape.watch(POINTS)
        loss = tf.reduce_sum(flow(POINTS))
    assert np.any(tape.gradient(loss, POINTS))
    flow.trainable = True
    np.testing.assert_array_equal(flow.log_prob(POINTS), before)


def test_nets_that_are_frozen_before_the_build_hold_no_state():
    flow = small_flow()
    flow.f_layers[0][0].trainable = False
    assert flow.log_prob(POINTS).shape == (16,)
    assert len(flow.f_layers[0][0].trainable_variables) == 0


@pytest.mark.parametrize("how", ["global policy", "argument"])
def test_densities_are_float32_under_a_mixed_policy(how):
    wanted = small_flow().log_prob(POINTS)
    before = keras.config.dtype_policy()
    try:
        if how == "global policy":
            keras.config.set_dtype_policy("mixed_bfloat16")
            flow = small_flow()
            assert flow.f_layers[0][0].layers[0].compute_dtype == "bfloat16"
        else:
            flow = small_flow(dtype="mixed_bfloat16")
    finally:
        keras.config.set_dtype_policy(before)
    found = flow.log_prob(POINTS)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, wanted, rtol=0.05 if how == "global policy" else 1e-5)
    flow.compile(keras.optimizers.Adam(1e-3))
    assert flow.fit(POINTS, verbose=0).history["loss"][0] > 0
    with pytest.raises(ValueError, match="dtype is mixed_float16, whose losses would have to be"):
        small_flow(dtype="mixed_float16")


def test_in_a_loop_nets_must_be_alike():
    flow = small_flow(loop=True)
    flow.f_layers[0][1].layers[0].activation = keras.activations.relu
    with pytest.raises(ValueError, match=r"F of unit 1 in level 0 .* is not like that of unit 0"):
        flow.log_prob(POINTS)


def test_in_a_loop_all_are_frozen_or_none():
    flow = small_flow(loop=True)
    flow.log_prob(POINTS)
    flow.g_layers[0][1].trainable = False
    with pytest.raises(ValueError, match=r"G of unit 1 in level 0 .* has other frozen parts than"):
        flow.log_prob(POINTS)


def test_a_loss_weighs_points_as_it_is_told():
    flow = small_flow()
    flow.compile(keras.optimizers.SGD(0.0))
    flow.log_prob(POINTS)
    flow._adapted.assign(1)
    weights = np.repeat([0.0, 2.0], 8).astype(np.float32)
    found = flow.evaluate(POINTS, sample_weight=weights, batch_size=16, verbose=0)
    fitted = flow.fit(POINTS, sample_weight=weights, batch_size=16, verbose=0).history["loss"]
    assert flow.evaluate(POINTS, None, 16, verbose=0, sample_weight=weights) == found
    held_out = (POINTS, None, weights)
    history = flow.fit(POINTS, None, 16, verbose=0, validation_data=held_out).history
    bits = flow.bits_per_dimension(POINTS)
    weighted = [found, *fitted, *history["val_loss"]]
    np.testing.assert_allclose(weighted, [np.mean(bits[8:])] * 3, rtol=1e-5)
    assert abs(np.mean(bits[8:]) - np.mean(bits)) > 1e-3


def test_named_flows_do_not_depend_on_the_image_format_of_keras():
    before, shapes = keras.config.image_data_format(), []
    for form in ("channels_last", "channels_first"):
        try:
            keras.config.set_image_data_format(form)
            flow = reversible.get_flow("realnvp", image_size=16, num_units=1, width=4)
            shapes.append([tuple(weight.shape) for weight in flow.weights])
        finally:
            keras.config.set_image_data_format(before)
    assert shapes[0] == shapes[1]


def test_a_density_is_of_one_shape():
    flow = of_images(pixel_levels=256)
    flow.build((None, 4, 4, 2))
    for give in (flow.log_prob, flow.adapt, flow.latents, tf.function(flow.bits_per_dimension)):
        with pytest.raises(ValueError, match=r"of shape \(4, 4, 2\), but was given \(3, 8, 8, 2\)"):
            give(tf.zeros([3, 8, 8, 2]))
    unknown = tf.TensorSpec(None)
    bits = tf.function(flow.bits_per_dimension, input_signature=[unknown])
    assert bits(tf.zeros([3, 4, 4, 2])).shape == (3,)
    with pytest.raises(tf.errors.InvalidArgumentError):
        bits(tf.zeros([3, 8, 8, 2]))


def test_a_flow_has_a_loss_and_samples_of_its_own():
    flow = small_flow()
    with pytest.raises(ValueError, match="temperature is -1, but must be 0 or more"):
        flow.build((None, 4))
        flow.sample(2, temperature=-1)
    flow.compile("adam", loss="mse")
    with pytest.raises(ValueError, match="compiled with loss 'mse', but trains its own, bits per"):
        flow.fit(POINTS, POINTS)


def test_latents_are_taken_as_they_come():
    flow = small_flow()
    flow.build((None, 4))
    latents = [z.numpy().astype(np.float64) for z in flow.latents(POINTS)]
    np.testing.assert_allclose(flow.inverse(latents), POINTS, atol=1e-5)
    with pytest.raises(ValueError, match=r"takes a list of 1, the latents .*\[\(4,\)\]"):
        flow.inverse(latents[0])
    with pytest.raises(ValueError, match=r"a latent of shape \(4,\), but was given \(16, 2\)"):
        flow.inverse([latents[0][:, :2]])


@pytest.mark.parametrize("seed", [None, 3])
def test_samples_are_drawn_in_a_function_too(seed):
    flow = small_flow()
    flow.build((None, 4))
    draw = tf.function(lambda: flow.sample(5, seed=seed))
    one, other = draw(), draw()
    assert one.shape == (5, 4)
    assert np.array_equal(one, other) == (seed is not None)
    two = of_images()
    two.build((None, 4, 4, 2))
    drawn = two.latents(two.sample(1, seed=3))
    assert len(np.unique(np.concatenate([np.ravel(z)[:2] for z in drawn]))) == 2 * len(drawn)


ONE_BY_ONE = {"steps_per_epoch": 1, "shuffle": False, "verbose": 0}  # of a generator


def test_what_was_trained_otherwise_is_not_adapted_anew():
    def given(x):
        yield (x,)

    ways = {
        "a generator": lambda flow: flow.fit(given(POINTS), **ONE_BY_ONE),
        "a batch": lambda flow: flow.train_on_batch(POINTS),
    }
    for name, train in ways.items():
        flow = small_flow()
        flow.compile(keras.optimizers.SGD(0.1))
        train(flow)
        before = flow.get_weights()
        flow.compile(keras.optimizers.SGD(0.0))
        flow.fit(10 * POINTS, batch_size=16, verbose=0)
        for value, kept in zip(flow.get_weights(), before, strict=True):
            np.testing.assert_array_equal(value, kept, err_msg=name)


def test_a_generators_first_batch_is_looked_at_and_trained_on():
    flow, seen = small_flow(), []
    flow.compile(keras.optimizers.SGD(0.0))

    def batches():
        for i in range(3):
            seen.append(i)
            yield (5 * POINTS + 7,)

    history = flow.fit(batches(), **(ONE_BY_ONE | {"steps_per_epoch": 3}))
    assert seen == [0, 1, 2] and len(history.epoch) == 1
    np.testing.assert_allclose(flow._units[0][0]["shift"].value, -tf.reduce_mean(5 * POINTS + 7, 0))


def test_channels_that_do_not_vary_are_left_as_wide_as_they_are():
    x = tf.concat([POINTS[:, :2], tf.fill([16, 1], 1000.1), tf.zeros([16, 1])], 1)
    log_scale = reversible.ActNorm.fitted(x)["log_scale"]
    np.testing.assert_array_equal(log_scale[2:], 0.0)
    deviation = tf.math.reduce_std(x[:, :2], 0)
    np.testing.assert_allclose(tf.exp(-log_scale[:2]), deviation, rtol=1e-4)
    flow = small_flow()
    flow.adapt(POINTS[:1])  # no channel of one point varies
    assert np.all(np.isfinite(flow.log_prob(POINTS)))


@pytest.mark.parametrize(
    ("pixels", "values"),
    [(0.5, "0.5 to 0.5"), (-1, "-1 to -1"), (256, "256 to 256"), (np.nan, "nan to nan")],
)
def test_what_are_no_pixels(pixels, values):
    flow, x = of_images(pixel_levels=256), np.full([8, 4, 4, 2], pixels)
    for give in (flow.fit, flow.log_prob, flow.latents):
        with pytest.raises(ValueError, match=f"whole numbers of 0 to 255, but .* from {values}"):
            give(x)


def test_densities_in_float64():
    flow, x = small_flow(dtype="float64"), tf.cast(POINTS, tf.float64)
    flow.adapt(x)
    assert flow.log_prob(x).dtype == flow.sample(3).dtype == tf.float64
    (z,) = flow.latents(x)
    assert z.dtype == tf.float64
    np.testing.assert_allclose(flow.inverse([z]), x, atol=1e-6)


def test_replicas_train_as_one():
    script = pathlib.Path(__file__).with_name("flow_replicas.py")
    assert "the same training" in run_file(script)
