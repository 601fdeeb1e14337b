"""Couplings that change the shape, against NumPy and dense Jacobians."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from resnet.reversible import (
    ActNorm,
    AdditiveCoupling,
    Haar,
    Inverse,
    Pad,
    Squeeze,
    log_determinant,
    round_to_grid,
    run_sequence,
)
from resnet.reversible.join import Join

GRID = 2.0**-12
KINDS = {
    "squeeze": Squeeze(),
    "haar": Haar(),
    "exact haar": Haar(exact=True),
    "spread": Inverse(Squeeze()),
    "inverse haar": Inverse(Haar()),
    "inverse exact haar": Inverse(Haar(exact=True)),
    "pad": Pad(3),
}


def on_grid(shape, seed=0, largest=2.0**10):
    """float32 multiples of the grid's step."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-largest / GRID, largest / GRID, shape) * GRID).astype(np.float32)


def pair(shape=(2, 4, 6, 8)):
    return tuple(tf.constant(on_grid(shape, seed, 8)) for seed in (0, 1))


@pytest.mark.parametrize(
    "coupling", [Squeeze(), Haar(), Pad(3), Join(-1)], ids=lambda c: type(c).__name__
)
def test_the_input_is_not_there_again_before_its_gradient(coupling):
    @tf.function(autograph=False)
    def backward(y, dy):
        return coupling.backward((), y, dy)

    y = coupling.forward((), pair())[0]
    specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), (y, y))
    graph = backward.get_concrete_function(*specs)
    (x, _, _), (_, dy) = graph.structured_outputs, tf.nest.pack_sequence_as((y, y), graph.inputs)
    for half in x:
        found, waiting = set(), [half.op]
        while waiting:
            op = waiting.pop()
            found.add(op.name)
            waiting += [*(t.op for t in op.inputs), *op.control_inputs]
        assert {t.op.name for t in tf.nest.flatten(dy)} <= found


def test_halves_are_joined_and_parted():
    x = tf.constant(on_grid((2, 3, 5))), tf.constant(on_grid((2, 3, 3), 1))
    y, _ = Join(-1, [5, 3]).forward((), x)
    np.testing.assert_array_equal(y, np.concatenate(x, axis=-1))
    for found in Join(-1, [5, 3]).backward((), y, y)[:2]:
        for half, wanted in zip(found, x, strict=True):
            np.testing.assert_array_equal(half, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_every_bit_comes_back(kind):
    coupling, x = KINDS[kind], pair()
    y, (_, _, past) = coupling.forward((), x)
    assert past == 0
    for half, back in zip(x, coupling.inverse((), y), strict=True):
        if kind in ("haar", "inverse haar"):
            np.testing.assert_allclose(back, half, atol=1e-5)
        else:
            np.testing.assert_array_equal(back, half)
    x_too, dx, dparams = coupling.backward((), y, y)
    assert dparams == () and dx[0].shape == x[0].shape
    np.testing.assert_allclose(x_too[1], x[1], atol=1e-5)


def test_the_whole_range_of_the_grid_comes_back():
    x = tf.constant(on_grid((3, 16, 16, 5), largest=2.0**9))
    y, (_, _, past) = Haar(exact=True).forward((), x)
    assert past == 0 and np.abs(y).max() > 2**10
    np.testing.assert_array_equal(y / GRID, np.round(y / GRID))
    np.testing.assert_array_equal(Haar(exact=True).inverse((), y), x)
    assert Haar(exact=True).forward((), x * 8)[1][2] > 0


def test_a_squeeze_makes_channels_of_squares():
    x = np.arange(1 * 4 * 4 * 2, dtype=np.float32).reshape(1, 4, 4, 2)
    y, _ = Squeeze().forward((), tf.constant(x))
    for i in range(2):
        for j in range(2):
            np.testing.assert_array_equal(y[0, i, j], x[0, 2 * i :, 2 * j :][:2, :2].ravel())


def test_haar_is_the_wavelet():
    x = np.random.default_rng(0).standard_normal([2, 4, 4, 3])
    a, b, c, d = x[:, ::2, ::2], x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]
    parts = (a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d)
    y, _ = Haar().forward((), tf.constant(x))
    np.testing.assert_allclose(y, np.concatenate(parts, axis=-1) / 2, atol=1e-12)
    np.testing.assert_allclose(np.sum(np.square(y)), np.sum(x**2))


def test_exact_haar_is_lifting_of_whole_numbers():
    n = np.random.default_rng(0).integers(-1000, 1000, [2, 4, 4, 3])

    def lift(a, b):
        return b + (a - b) // 2, a - b  # // rounds down

    low, high = lift(n[:, :, ::2], n[:, :, 1::2])
    low, high = lift(low[:, ::2], low[:, 1::2]), lift(high[:, ::2], high[:, 1::2])
    wanted = np.concatenate([low[0], high[0], low[1], high[1]], axis=-1)
    y, _ = Haar(exact=True).forward((), tf.constant(n * GRID, tf.float32))
    np.testing.assert_array_equal(y, wanted * GRID)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_dense_jacobian(kind):
    coupling = KINDS[kind]
    shape = (1, 2, 2, 4)
    x = tf.constant(on_grid(shape, 3, 8).astype(np.float64))
    y, _ = coupling.forward((), x)
    # Of a linear map; of the exact one, without its rounding: twice the step of a whole number.
    columns = [
        (coupling.forward((), x + e)[0] - y) / 2.0 for e in 2.0 * np.eye(16).reshape(16, *shape)
    ]
    jacobian = np.stack([np.ravel(column) for column in columns], axis=1)
    dy = np.random.default_rng(0).standard_normal(y.shape)
    _, dx, _ = coupling.backward((), y, tf.constant(dy))
    np.testing.assert_allclose(
        np.ravel(dx), jacobian.T @ dy.ravel(), atol=2e-3 if "exact" in kind else 1e-9
    )


def convolution(params, x):
    return tf.nn.conv2d(tf.nn.relu(x), params, 1, "SAME"), ()


def network(exact):
    """Couplings at four resolutions and back, and their parameters; takes (N, 8, 8, 2) a half."""
    rng = np.random.default_rng(0)
    couplings, params = [Pad(2)], [()]

    def unit(channels):
        couplings.append(AdditiveCoupling(convolution, convolution, exact))
        shape = [3, 3, channels, channels]
        kernels = (0.3 * rng.standard_normal(shape, np.float32) for _ in "fg")
        params.append(tuple(map(tf.constant, kernels)))

    def other(coupling):
        couplings.append(coupling)
        params.append(())

    unit(4)
    other(Squeeze())
    unit(16)
    other(Haar(exact))
    unit(64)
    other(Inverse(Haar(exact)))
    unit(16)
    other(Inverse(Squeeze()))
    unit(4)
    return couplings, params


@pytest.mark.parametrize("compiled", [False, True])
def test_exact_gradients_of_a_whole_network_equal_stored_ones_to_the_bit(compiled):
    couplings, params = network(exact=True)
    rng = np.random.default_rng(1)
    x = tuple(map(tf.constant, rng.standard_normal([2, 3, 8, 8, 2], np.float32)))
    wanted = None
    for backprop in ("stored", "reversible", "checkpoint"):

        @functools.partial(tf.function, autograph=False)
        def gradients(x, params, backprop=backprop):
            with tf.GradientTape() as tape:
                tape.watch((x, params))
                halves = tuple(round_to_grid(half) for half in x)
                y, _ = run_sequence(couplings, params, halves, backprop)
                loss = tf.add_n([tf.reduce_sum(tf.sin(half)) for half in y])
            return y, tape.gradient(loss, (x, params))

        found = gradients(x, params) if compiled else gradients.python_function(x, params)
        found = [t.numpy() for t in tf.nest.flatten(found)]
        wanted = wanted or found
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("coupling", [Squeeze(), Haar(), Haar(exact=True)])
def test_odd_sides_are_named(coupling):
    with pytest.raises(ValueError, match=r"even height and width.*\(1, 3, 4, 2\)"):
        coupling.forward((), tf.zeros([1, 3, 4, 2]))
    with pytest.raises(ValueError, match=r"takes \(N, H, W, 4 C\).*\(1, 2, 2, 6\)"):
        coupling.inverse((), tf.zeros([1, 2, 2, 6]))


def test_what_cannot_be_padded_or_turned_round():
    with pytest.raises(ValueError, match="channels is '2', but must be an integer of 1 or more"):
        Pad("2")
    with pytest.raises(ValueError, match="channels is 0"):
        Pad(0)
    with pytest.raises(ValueError, match="forgets"):
        Inverse(Pad(1))


@pytest.mark.parametrize("backprop", ["reversible", "stored"])
def test_an_inverse_takes_back_what_its_coupling_does_to_volumes(backprop):
    x = tf.constant(np.random.default_rng(4).standard_normal([3, 2, 2, 4]))
    scale = tf.constant([0.5, -1.0, 0.25, 2.0], tf.float64)
    params = [{"log_scale": scale, "shift": scale**2}] * 2

    def found(couplings):
        with tf.GradientTape() as tape:
            tape.watch((params, x))
            y, aux = run_sequence(couplings, params[: len(couplings)], x, backprop)
            log = log_determinant(aux)
            loss = tf.reduce_sum(y**2) + tf.reduce_sum(log)
        return y, log, tape.gradient(loss, params[0]["log_scale"])

    y, log, _ = found([ActNorm(), Inverse(ActNorm())])
    np.testing.assert_allclose(y, x, rtol=1e-12)
    np.testing.assert_allclose(log, np.zeros(3), atol=1e-12)
    y, log, slope = found([Inverse(ActNorm())])
    np.testing.assert_allclose(log, np.full(3, -4 * 1.75))  # 4 pixels
    # Of (x exp(-s) - shift)^2, and of -4 s for each of the 3.
    wanted = np.sum(2 * y * -(x * np.exp(-scale)), axis=(0, 1, 2)) - 12
    np.testing.assert_allclose(slope, wanted, rtol=1e-10)


def test_an_inverse_counts_what_leaves_the_exact_range():
    small, large = tf.ones([1, 2, 2, 4]), tf.fill([1, 2, 2, 4], 3000.0)
    for x, count in ((small, 0), (large, 1)):
        _, aux = Inverse(Haar(exact=True)).forward((), x)
        assert int(aux[-1]) == count
