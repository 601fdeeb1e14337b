"""A large stem whose batch is walked in parts, forward and backward.

At 224x224, a convolution, batch norm, ReLU and max pool take several tensors of 112x112 pixels, and
their backward pass would be where a step's memory peaks. Here a quarter of the batch is in memory
at a time. Batch norm needs the whole batch's statistics, and its gradient two sums over it, so that
each pass goes over the parts twice, and convolves twice.
"""

import itertools

import tensorflow as tf

from resnet.models.layers import BATCH_NORM_EPSILON
from resnet.reversible.gradients import with_gradient
from resnet.reversible.ordering import after

NUM_PARTS = 4  # more save nothing
CONVOLUTION, NORM = "init/init_conv", "init/init_bn"
MEAN, VARIANCE = f"{NORM}/ema_mean", f"{NORM}/ema_var"


def run_in_parts(stem, params, images):
    """What a `Stem` computes in training. For the backward pass, the images alone are kept.

    Args:
      stem: Stem.
      params: {name: tensor}.
      images: (N, H, W, channels).

    Returns:
      (y, statistics), as of the Stem.
    """
    kept = {}

    def forward(params, images):
        walk = _Walk(stem, params, images)
        kept["statistics"] = walk.statistics()
        return walk.values(kept["statistics"]), kept["statistics"]

    def backward(params, images, y, dy, _):
        return _Walk(stem, params, after(dy, images)).gradients(kept["statistics"], dy)

    return with_gradient(forward, backward, params, images)


def values_again(stem, params, images, statistics):
    """The y that `run_in_parts` returned, to the bit, of the statistics that it returned."""
    return _Walk(stem, params, images).values(statistics)


class _Walk:
    """A stem's way over the parts of a batch, one after the other."""

    def __init__(self, stem, params, images):
        self.stem, self.params = stem, params
        self.images, self.images_dtype = tf.cast(images, stem.dtype), images.dtype
        self.parts = _parts(images)
        self.norm = {
            "scale": params[f"{NORM}/gamma"],
            "offset": params[f"{NORM}/beta"],
            "epsilon": BATCH_NORM_EPSILON,
        }

    def statistics(self):
        """{name: mean, population variance of the whole batch}, (C,) float32.

        Source: Chan et al. 1983, https://doi.org/10.1080/00031305.1983.10483115.
        """
        count, mean, variance = 0.0, 0.0, 0.0
        for part in self.parts:
            h = self._convolved(part, (mean, variance))
            found = tf.raw_ops.FusedBatchNormV3(
                x=h, mean=[], variance=[], is_training=True, **self.norm
            )
            n = _values_a_channel(h)
            share, difference = n / (count + n), found.batch_mean - mean
            part_variance = found.batch_variance * ((n - 1) / n)  # it returns the unbiased one
            variance += share * (part_variance - variance + (1 - share) * difference**2)
            mean, count = mean + share * difference, count + n
        return {MEAN: mean, VARIANCE: variance}

    def values(self, statistics):
        """What the stem returns, of its batch's statistics."""
        found, ready = [], statistics
        for part in self.parts:
            h = self._convolved(part, ready)
            ready = self.stem.behind_norm(self._normalised(h, statistics))
            found.append(ready)
        return tf.concat(found, axis=0)

    def gradients(self, statistics, dy):
        """(gradient of the images, gradients of the parameters {name: tensor})."""
        mean, variance = statistics[MEAN], statistics[VARIANCE]
        count, dgamma, dbeta, ready = 0.0, 0.0, 0.0, ()
        for part in self.parts:
            h, (_, dgamma_part, dbeta_part) = self._walk_back(part, statistics, dy, ready)
            ready = dgamma, dbeta = dgamma + dgamma_part, dbeta + dbeta_part
            count += _values_a_channel(h)
        # What goes back through the statistics is linear in the convolution's values.
        inverse_deviation = tf.math.rsqrt(variance + BATCH_NORM_EPSILON)
        scale = self.params[f"{NORM}/gamma"] * inverse_deviation / count
        slope = scale * inverse_deviation * dgamma
        shift = scale * dbeta - slope * mean

        dimages, dw = [], 0.0
        for part in self.parts:
            h, (dh, _, _) = self._walk_back(part, statistics, dy, ready)
            h, dh = (tf.cast(t, tf.float32) for t in (h, dh))
            dpart, dw_part = self._convolution_gradients(part, dh - (slope * h + shift))
            dimages.append(tf.cast(dpart, self.images_dtype))
            ready = dw = dw + dw_part
        names = f"{CONVOLUTION}/w", f"{NORM}/gamma", f"{NORM}/beta"
        return tf.concat(dimages, axis=0), dict(zip(names, (dw, dgamma, dbeta), strict=True))

    def _convolved(self, part, ready):
        """The convolution's values of a part of the batch, once `ready` is."""
        return self.stem.convolution(self.params, CONVOLUTION, after(ready, self.images[part]))

    def _normalised(self, h, statistics):
        """Of the convolution's values, what batch norm makes."""
        return tf.raw_ops.FusedBatchNormV3(
            x=h,
            mean=statistics[MEAN],
            variance=statistics[VARIANCE],
            is_training=False,
            **self.norm,
        ).y

    def _walk_back(self, part, statistics, dy, ready):
        """A part's way back to the convolution, as if the statistics were fixed.

        Returns:
          (h, (dh, dgamma, dbeta)): the convolution's values; gradients.
        """
        h = self._convolved(part, ready)
        with tf.GradientTape() as tape:
            normalised = self._normalised(h, statistics)
            tape.watch(normalised)
            y = self.stem.behind_norm(normalised)
        found = tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=tape.gradient(y, normalised, output_gradients=dy[part]),
            x=h,
            scale=self.norm["scale"],
            epsilon=BATCH_NORM_EPSILON,
            reserve_space_1=statistics[MEAN],
            reserve_space_2=statistics[VARIANCE],
            reserve_space_3=[],
            is_training=False,
        )
        return h, found[:3]

    def _convolution_gradients(self, part, dh):
        """Gradients of a part of the images, and of the weights."""
        with tf.GradientTape() as tape:
            images, w = self.images[part], self.params[f"{CONVOLUTION}/w"]
            tape.watch((images, w))
            h = self.stem.convolution({f"{CONVOLUTION}/w": w}, CONVOLUTION, images)
        return tape.gradient(h, (images, w), output_gradients=tf.cast(dh, self.stem.dtype))


def _values_a_channel(h):
    """Number of values of each channel, float32."""
    return tf.cast(tf.size(h) // h.shape[-1], tf.float32)


def _parts(images):
    """[slice of the batch]; one, of all, where its size is not known before it runs."""
    size = images.shape[0]
    if size is None:
        return [slice(None)]
    num_parts = min(NUM_PARTS, size)
    ends = [size * i // num_parts for i in range(num_parts + 1)]
    return [slice(begin, end) for begin, end in itertools.pairwise(ends)]
