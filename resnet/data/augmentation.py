"""Changes of training images that a recipe asks for, whatever data set they are of.

Each takes what was drawn for it, so that a step's images depend on its seed alone. Seeds are
(2,) int64, of the run and the step.
"""

import tensorflow as tf

from resnet.labels import MixedLabels

# Added to a step's seed, for draws of their own.
CUTOUT, MIX_KIND, MIX_SHARE, MIX_BOX, FLIP, TRIVIAL = range(101, 107)


def seed_for(seed, draw):
    """The seed of one kind of draws of a step."""
    return tf.random.experimental.stateless_fold_in(seed, draw)


# ---------------------------------------------------------------------------- cutout


def draw_cutout(num_images, height, width, seed):
    """(N, 2) int32: centres of squares, anywhere in an image."""
    drawn = tf.random.stateless_uniform([num_images, 2], seed_for(seed, CUTOUT))
    return tf.cast(drawn * [float(height), float(width)], tf.int32)


def cutout(images, centres, side):
    """Blanks a square of every image, as far as it lies within.

    DeVries & Taylor 2017, https://arxiv.org/abs/1708.04552.

    Args:
      images: (N, H, W, C), 0 being their mean.
      centres: (N, 2) int32, of the squares.
      side: pixels a side; the pixel at the centre is the one behind it if even.
    """
    height, width = images.shape[1], images.shape[2]
    rows, columns = (
        (tf.range(size) >= start[:, None]) & (tf.range(size) < start[:, None] + side)
        for size, start in ((height, centres[:, 0] - side // 2), (width, centres[:, 1] - side // 2))
    )
    inside = rows[:, :, None] & columns[:, None, :]
    return tf.where(inside[..., None], tf.zeros([], images.dtype), images)


# ------------------------------------------------------------------- mixup and CutMix


def draw_mix(mixup, cutmix, height, width, seed):
    """How a step's images are mixed with their partners: one draw for all of them.

    Args:
      mixup, cutmix: alpha of each, 0 for none; with both, either, by equal chance.
      height, width: of images.
      seed: of the step.

    Returns:
      (weights, share): (H, W, 1) float32, how much of a pixel is an image's own; float32
      scalar, their mean.
    """
    kind, gamma, box = (seed_for(seed, draw) for draw in (MIX_KIND, MIX_SHARE, MIX_BOX))
    takes_mixup = tf.random.stateless_uniform([], kind) < 0.5 if mixup and cutmix else bool(mixup)
    alpha = tf.where(takes_mixup, tf.cast(mixup or 1.0, tf.float64), cutmix or 1.0)
    # Beta(alpha, alpha), by two gammas: of a small alpha, both are too small for float32.
    one, other = tf.unstack(tf.random.stateless_gamma([2], gamma, alpha, dtype=tf.float64))
    drawn = tf.cast(one / (one + other), tf.float32)
    side = tf.sqrt(1 - drawn)
    centre = tf.random.stateless_uniform([2], box)
    within = []
    for i, size in enumerate((height, width)):
        half = tf.cast(side * size, tf.int32) // 2
        at = tf.cast(centre[i] * size, tf.int32)
        within.append((tf.range(size) >= at - half) & (tf.range(size) < at + half))
    is_others = tf.cast(within[0][:, None] & within[1][None, :], tf.float32)[..., None]
    weights = tf.where(takes_mixup, tf.fill([height, width, 1], drawn), 1 - is_others)
    return weights, tf.reduce_mean(weights)


def mix(images, labels, others, other_labels, weights, share):
    """Mixes images with others, and their labels.

    mixup: Zhang et al. 2018, https://arxiv.org/abs/1710.09412; CutMix: Yun et al. 2019,
    https://arxiv.org/abs/1905.04899.

    Args:
      images, others: (N, H, W, C) float.
      labels, other_labels: (N,) int32.
      weights, share: as `draw_mix` returns them.

    Returns:
      (images, MixedLabels).
    """
    mixed = weights * images + (1 - weights) * others
    return mixed, MixedLabels(labels, other_labels, tf.fill(tf.shape(labels), share))
