"""Layers as pure functions of their parameters.

`params` is a dict from names to tensors; images are (N, H, W, C). A layer that
computes batch statistics returns them beside its output and updates nothing, so
that it can be run again without counting a batch twice.
"""

import tensorflow as tf

BATCH_NORM_EPSILON = 1e-3
MOVING_AVERAGE_DECAY = 0.99


def convolution(params, name, x, stride=1):
    """SAME convolution without bias: (N, H, W, C) -> (N, H/stride, W/stride, filters)."""
    return tf.nn.conv2d(x, tf.cast(params[f"{name}/w"], x.dtype), stride, "SAME")


def batch_norm(params, name, x, training):
    """Normalises every channel: gamma (x - mean) / sqrt(variance + 0.001) + beta.

    Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167.

    Args:
      params: has name/gamma and name/beta, each (C,) float32; in evaluation also
        name/ema_mean and name/ema_var.
      name: the layer's name.
      x: (N, H, W, C), float32 or bfloat16.
      training: whether the mean and variance are the batch's.

    Returns:
      (y, statistics): y like x; in training, statistics maps name/ema_mean and
      name/ema_var to the batch's mean and population variance, (C,) float32.
      Else it is empty.
    """
    gamma, beta = params[f"{name}/gamma"], params[f"{name}/beta"]
    mean, variance = f"{name}/ema_mean", f"{name}/ema_var"
    # The fused kernel takes less than half the time of moments and arithmetic.
    y, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=gamma,
        offset=beta,
        mean=[] if training else params[mean],
        variance=[] if training else params[variance],
        epsilon=BATCH_NORM_EPSILON,
        is_training=training,
    )
    if not training:
        return y, {}
    # It returns the unbiased variance, n / (n - 1) times the population's.
    n = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return y, {mean: batch_mean, variance: batch_variance * ((n - 1) / n)}


def activation(params, name, x, training):
    """Batch normalisation, then ReLU. Returns (y, statistics)."""
    y, statistics = batch_norm(params, name, x, training)
    return tf.nn.relu(y), statistics


def dense(params, name, x):
    """Fully connected layer: (N, C) -> (N, out)."""
    return tf.matmul(x, params[f"{name}/w"]) + params[f"{name}/b"]


def pad_channels(x, filters):
    """Zero channels up to `filters`, half of them before and half after."""
    missing = filters - x.shape[-1]
    return tf.pad(x, [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]])
