"""Convolutions on processors without AVX-512: bfloat16, and 1x1 kernels with a stride."""

import numpy as np
import pytest
import tensorflow as tf

from peaks import peak_bytes
from resnet.models import convolve as module
from resnet.models.convolve import convolve

MB = 2**20


@pytest.fixture(params=[1, 2], ids=["stride 1", "stride 2"])
def stride(request):
    return request.param


@pytest.fixture
def slow(monkeypatch):
    """A processor that is slow in bfloat16."""
    monkeypatch.setattr(module, "_is_slow_in_bfloat16", lambda: True)


def draw(dtype=tf.bfloat16):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal([2, 9, 9, 16]), 0.1 * rng.standard_normal([3, 3, 16, 24])
    return tf.constant(x, dtype), tf.constant(w, dtype)


def types_on(device):
    """The types that convolutions of bfloat16 have on a device, which need not be there."""

    def run():
        x, w = draw()
        with tf.device(device):
            return convolve(tf.identity(x), w, 1)

    graph = tf.function(run, autograph=False).get_concrete_function().graph
    return [op.get_attr("T") for op in graph.get_operations() if op.type == "Conv2D"]


def test_it_is_computed_in_float32_where_bfloat16_is_slow(monkeypatch):
    for is_slow in (False, True):
        monkeypatch.setattr(module, "_is_slow_in_bfloat16", lambda is_slow=is_slow: is_slow)
        assert types_on("/cpu:0") == types_on(None) == [tf.float32 if is_slow else tf.bfloat16]
        assert types_on("/gpu:0") == [tf.bfloat16]


@pytest.mark.parametrize("compiled", [False, True])
def test_values_and_gradients_are_those_of_float32_rounded(slow, stride, compiled):
    x, w = draw()
    sides = -(-9 // stride)
    dy = tf.constant(np.random.default_rng(1).standard_normal([2, sides, sides, 24]), tf.bfloat16)

    def gradients(function, x, w, dy):
        with tf.GradientTape() as tape:
            tape.watch((x, w))
            y = function(x, w)
        return [y, *tape.gradient(y, (x, w), output_gradients=dy)]

    def widened(x, w):
        return tf.nn.conv2d(x, w, stride, "SAME")

    run = tf.function(gradients, autograph=False) if compiled else gradients
    found = run(lambda x, w: convolve(x, w, stride), x, w, dy)
    wanted = gradients(widened, *(tf.cast(value, tf.float32) for value in (x, w, dy)))
    for got, exact in zip(found, wanted, strict=True):
        assert got.dtype == tf.bfloat16
        np.testing.assert_array_equal(
            tf.cast(got, tf.float32), tf.cast(tf.cast(exact, tf.bfloat16), tf.float32)
        )


@pytest.mark.parametrize("channels", [3, 4, 8])
@pytest.mark.parametrize("side", [8, 9])
def test_gradients_of_1x1_kernels_with_a_stride(channels, side):
    """Of two at a time, again and again: oneDNN's own are wrong now and then."""
    rng = np.random.default_rng(0)
    pairs = [
        (
            rng.standard_normal([8, side, side, channels]),
            0.1 * rng.standard_normal([1, 1, channels, 16]),
        )
        for _ in range(2)
    ]
    pairs = [[tf.constant(value, tf.float32) for value in pair] for pair in pairs]
    dy = tf.constant(rng.standard_normal([8, -(-side // 2), -(-side // 2), 16]), tf.float32)

    @tf.function(autograph=False)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(pairs)
            results = [convolve(x, w, 2) for x, w in pairs]
        return results, tape.gradient(results, pairs, output_gradients=[dy, dy])

    for _ in range(30):
        for (x, w), y, (dx, dw) in zip(pairs, *run(), strict=True):
            pixels, kernel = x.numpy()[:, ::2, ::2], w.numpy()[0, 0]
            np.testing.assert_allclose(y, pixels @ kernel, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(dx[:, ::2, ::2], dy @ kernel.T, rtol=1e-4, atol=1e-4)
            assert not np.any(dx[:, 1::2]) and not np.any(dx[:, :, 1::2])
            wanted = np.einsum("nhwc,nhwd->cd", pixels, dy)
            np.testing.assert_allclose(dw[0, 0], wanted, rtol=1e-3, atol=1e-3)


def test_what_backpropagation_keeps_is_bfloat16(slow):
    """Twelve activations of 1 MB each, and what one convolution takes while it runs."""
    x = tf.constant(np.random.default_rng(0).standard_normal([8, 32, 32, 64]), tf.bfloat16)
    kernels = tf.constant(0.05 * np.ones([12, 1, 1, 64, 64]), tf.bfloat16)

    def gradients(x, kernels):
        with tf.GradientTape() as tape:
            tape.watch((x, kernels))
            y = x
            for w in tf.unstack(kernels):
                y = convolve(y, w, 1)
        return tape.gradient(y, (x, kernels))

    assert 12 * MB < peak_bytes(gradients, x, kernels) < 20 * MB


def test_it_can_be_differentiated_twice(slow):
    x, w = draw()

    def slope(function, x, w):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.square(tf.cast(function(x, w), tf.float32)))
            first = tf.reduce_sum(tf.square(tf.cast(inner.gradient(y, x), tf.float32)))
        return tf.cast(outer.gradient(first, x), tf.float32)

    found = slope(lambda x, w: convolve(x, w, 1), x, w)
    x, w = tf.cast(x, tf.float32), tf.cast(w, tf.float32)
    wanted = slope(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), x, w)
    assert np.linalg.norm(found - wanted) < 0.02 * np.linalg.norm(wanted)
