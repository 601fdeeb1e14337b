"""A convolution, right on every processor, and as fast as it allows in bfloat16 too.

Without AVX-512, oneDNN has no kernels for bfloat16, and TensorFlow's own take ten times as long
as float32 does. There, a convolution is computed in float32 and rounded: as kernels for bfloat16
do it, which sum in float32. What backpropagation keeps stays bfloat16.
"""

import functools

import tensorflow as tf

from resnet.processor import is_slow_in_bfloat16
from resnet.reversible import after

PADDING = "SAME"


def convolve(x, w, stride):
    """SAME convolution.

    Args:
      x: (N, H, W, in channels), float32 or bfloat16.
      w: (side, side, in channels, out channels), of x's type.
      stride: pixels.

    Returns:
      (N, H/stride, W/stride, out channels), of x's type.
    """
    if is_on_gpu(x):
        return tf.nn.conv2d(x, w, stride, PADDING)
    if stride > 1 and w.shape[:2] == (1, 1):
        # Without AVX-512, oneDNN's gradient of a 1x1 kernel is wrong, now and then, where it has a
        # stride and fewer than 8 input channels. A stride is but pixels that are left out.
        x, stride = x[:, ::stride, ::stride], 1
    if x.dtype == tf.bfloat16 and _is_slow_in_bfloat16():
        return _convolve_in_float32(x, w, stride)
    return tf.nn.conv2d(x, w, stride, PADDING)


def is_on_gpu(x):
    """Whether x is computed on a GPU."""
    device = tf.DeviceSpec.from_string(x.device or "").device_type
    # While a graph is built, a tensor may have no device yet: then it is a GPU if there is one.
    return device == "GPU" if device else bool(tf.config.list_logical_devices("GPU"))


_is_slow_in_bfloat16 = functools.cache(is_slow_in_bfloat16)


def _convolve_in_float32(x, w, stride):
    """`convolve` of bfloat16."""

    @tf.custom_gradient
    def rounded(x, w):
        y = tf.nn.conv2d(_widened(x), _widened(w), stride, PADDING)

        def gradient(dy):
            options = {"strides": [1, stride, stride, 1], "padding": PADDING}
            # Widened once more, or the forward pass's float32 would be kept until now.
            x_again, dy = _widened(after(dy, x)), _widened(dy)
            dw = tf.raw_ops.Conv2DBackpropFilter(
                input=x_again, filter_sizes=tf.shape(w), out_backprop=dy, **options
            )
            # In turns, or what dw is made of would be kept while dx is passed on.
            w_again, dy = after(dw, (_widened(w), dy))
            dx = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=w_again, out_backprop=dy, **options
            )
            return tf.cast(dx, x.dtype), tf.cast(dw, w.dtype)

        return tf.cast(y, x.dtype), gradient

    return rounded(x, w)


def _widened(x):
    return tf.cast(x, tf.float32)
