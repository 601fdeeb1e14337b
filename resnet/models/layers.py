"""Layers as pure functions of their parameters.

`params` is a dict from names to tensors; images are (N, H, W, C). A layer that
computes batch statistics returns them beside its output and updates nothing, so
that it can be run again without counting a batch twice.
"""

import dataclasses

import tensorflow as tf

from resnet.models.convolve import convolve, is_on_gpu
from resnet.models.parameters import Parameter
from resnet.reversible import after

IMAGE_CHANNELS = 3
BATCH_NORM_EPSILON = 1e-3
MOVING_AVERAGE_DECAY = 0.99
PHILOX = 1  # TensorFlow's number of this generator, which every device has


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A square SAME convolution; groups of channels are convolved by themselves."""

    kernel: int  # pixels a side
    stride: int
    in_channels: int
    filters: int  # channels of the output
    groups: int = 1
    has_bias: bool = False

    def parameters(self, name):
        """{name: Parameter}."""
        shape = (self.kernel, self.kernel, self.in_channels // self.groups, self.filters)
        bias = {f"{name}/b": Parameter((self.filters,), "bias")} if self.has_bias else {}
        return {f"{name}/w": Parameter(shape, "conv")} | bias

    def __call__(self, params, name, x):
        """(N, H, W, in_channels) -> (N, H/stride, W/stride, filters)."""
        y = self._convolve(x, tf.cast(params[f"{name}/w"], x.dtype))
        return y + tf.cast(params[f"{name}/b"], y.dtype) if self.has_bias else y

    def _convolve(self, x, w):
        # A grouped convolution is one kernel on GPUs alone: of CPUs, oneDNN only has a gradient for
        # it, which takes no less time than one group after the other, and rounds otherwise.
        if self.groups == 1 or is_on_gpu(x):
            return convolve(x, w, self.stride)
        groups = zip(tf.split(x, self.groups, -1), tf.split(w, self.groups, -1), strict=True)
        return tf.concat([convolve(x, w, self.stride) for x, w in groups], -1)

    def multiply_adds(self, side):
        """Multiplications with addition of one image whose side is so many pixels."""
        out_side = -(-side // self.stride)
        kernel_size = self.kernel**2 * self.in_channels // self.groups
        return out_side**2 * kernel_size * self.filters


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


def move_average(variable, statistic):
    """Moves a moving average 1 % of the way to a batch's statistic."""
    variable.assign_sub((variable - statistic) * (1 - MOVING_AVERAGE_DECAY))


def activation(params, name, x, training):
    """Batch normalisation, then ReLU. Returns (y, statistics)."""
    y, statistics = batch_norm(params, name, x, training)
    return tf.nn.relu(y), statistics


def dense(params, name, x):
    """Fully connected layer: (N, C) -> (N, out)."""
    return tf.matmul(x, params[f"{name}/w"]) + params[f"{name}/b"]


def dropout(x, rate, seed):
    """Zeroes a share `rate` of the values at random and divides the others by 1 - rate.

    Srivastava et al. 2014, http://jmlr.org/papers/v15/srivastava14a.html. The same seed,
    (2,) int64, drops the same values, on every device and under XLA.
    """
    seed = after(x, seed)  # or numbers for a recomputation would be drawn before it
    # Whole numbers: XLA makes other fractions of the same bits. In float32: bfloat16 has too few
    # values to meet the rate.
    # Drawing counts in the first word: there, the next seed would draw the same, a little on.
    drawn = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.shape(x),
        key=tf.bitcast(seed[:1], tf.uint64),
        counter=tf.bitcast(tf.stack([0, seed[1]]), tf.uint64),
        dtype=tf.int32,
        alg=PHILOX,
    )
    is_kept = tf.cast(drawn, tf.float32) >= (rate - 0.5) * 2**32
    return tf.where(is_kept, x / (1 - rate), tf.zeros([], x.dtype))


def pad_channels(x, before, after):
    """Zero channels in front of x's and behind them."""
    return tf.pad(x, [[0, 0], [0, 0], [0, 0], [before, after]])
