"""Layers by themselves."""

import numpy as np
import pytest
import tensorflow as tf

from resnet.models import layers
from resnet.models.layers import Convolution

GROUPED = Convolution(3, 2, 16, 24, groups=4)


def draw(dtype=tf.float32):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal([2, 9, 9, 16]), dtype)
    return {"c/w": tf.constant(0.1 * rng.standard_normal([3, 3, 4, 24]), tf.float32)}, x


def convolutions_on(device):
    """How many kernels a grouped convolution is on a device, which need not be there."""

    def run():
        params, x = draw()
        with tf.device(device):
            return GROUPED(params, "c", tf.identity(x))

    graph = tf.function(run, autograph=False).get_concrete_function().graph
    return sum(operation.type == "Conv2D" for operation in graph.get_operations())


def test_a_grouped_convolution_is_one_kernel_on_gpus_alone():
    assert convolutions_on("/gpu:0") == 1
    assert convolutions_on("/job:worker/task:1/gpu:3") == 1
    assert convolutions_on("/cpu:0") == 4
    assert convolutions_on(None) == 4  # no GPU is visible to tests


def test_a_gpu_is_where_operations_go_if_nothing_is_said(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert convolutions_on(None) == 1
    assert convolutions_on("/cpu:0") == 4


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_both_forms_of_a_grouped_convolution_agree(dtype, monkeypatch):
    params, x = draw(dtype)
    one_by_one = GROUPED(params, "c", x)
    monkeypatch.setattr(layers, "is_on_gpu", lambda x: True)
    together = GROUPED(params, "c", x)
    assert together.shape == (2, 5, 5, 24) and together.dtype == dtype
    tolerance = 1e-6 if dtype == tf.float32 else 1e-2
    np.testing.assert_allclose(
        tf.cast(together, tf.float32), tf.cast(one_by_one, tf.float32), tolerance, tolerance
    )
    # The first group of the output sees the first group of the input alone.
    wanted = tf.nn.conv2d(x[..., :4], tf.cast(params["c/w"][..., :6], dtype), 2, "SAME")
    np.testing.assert_array_equal(one_by_one[..., :6], wanted)


def test_a_grouped_convolution_has_gradients():
    params, x = draw()
    with tf.GradientTape() as tape:
        tape.watch((params, x))
        total = tf.reduce_sum(tf.square(GROUPED(params, "c", x)))
    for gradient in tf.nest.flatten(tape.gradient(total, (params, x))):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
