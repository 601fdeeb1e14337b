"""TrivialAugment: one random change of each image, of a random strength.

Müller & Hutter 2021, https://arxiv.org/abs/2103.10158, with its wide ranges. What each change does
is as in Pillow; geometric ones take the nearest pixel. A batch is changed at once, and what is
drawn depends on the step's seed alone.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from resnet.data.augmentation import TRIVIAL, seed_for

NUM_STRENGTHS = 31
MAX_ROTATION = math.radians(135)
MAX_SHEAR = MAX_BLEND = 0.99
MAX_TRANSLATION = 32  # pixels
MAX_LOST_BITS = 6  # of a channel's 8
LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)  # of red, green and blue
SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def draw_trivial(num_images, seed):
    """What becomes of a step's images.

    Args:
      num_images: N.
      seed: (2,) int64, of the step.

    Returns:
      (changes, strengths): (N,) int32, places in CHANGES; (N,) float32 in [-1, 1], whose sign
      says which way.
    """
    drawn = tf.random.stateless_uniform([3, num_images], seed_for(seed, TRIVIAL))
    counts = tf.constant([[len(CHANGES)], [NUM_STRENGTHS], [2]], tf.float32)
    changes, strengths, ways = tf.unstack(tf.floor(drawn * counts))
    strengths /= NUM_STRENGTHS - 1
    return tf.cast(changes, tf.int32), tf.where(ways == 1, -strengths, strengths)


def trivial_augment(images, changes, strengths):
    """Changes each image.

    Args:
      images: (N, H, W, 3) uint8.
      changes, strengths: as `draw_trivial` returns them.

    Returns:
      (N, H, W, 3) uint8.
    """
    strengths = strengths[:, None, None, None]
    pixels = tf.cast(images, tf.float32)
    changed = pixels
    for i, change in enumerate(CHANGES.values()):
        is_it = (changes == i)[:, None, None, None]
        changed = tf.where(is_it, change(pixels, strengths), changed)
    return tf.cast(tf.clip_by_value(tf.round(changed), 0, 255), tf.uint8)


# Each takes images of 0 to 255, (N, H, W, 3) float32, and strengths (N, 1, 1, 1), and changes all.


def _identity(images, _):
    return images


def _auto_contrast(images, _):
    low, high = (f(images, axis=[1, 2], keepdims=True) for f in (tf.reduce_min, tf.reduce_max))
    scale = 255 / tf.maximum(high - low, 1)
    return tf.where(high > low, tf.floor((images - low) * scale), images)


def _equalize(images, _):
    height, width = images.shape[1:3]
    channels = tf.reshape(tf.transpose(images, [0, 3, 1, 2]), [-1, height * width])
    values = tf.cast(channels, tf.int32)
    counts = tf.math.bincount(values, axis=-1, minlength=256, maxlength=256)
    # As many pixels as can be spread over the 255 steps: those of the brightest value are the end.
    brightest = tf.reduce_max(values, axis=1, keepdims=True)
    step = (height * width - tf.gather(counts, brightest, axis=1, batch_dims=1)) // 255
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    equal = tf.where(step > 0, tf.gather(table, values, axis=1, batch_dims=1), values)
    equal = tf.reshape(tf.cast(equal, tf.float32), [-1, 3, height, width])
    return tf.transpose(equal, [0, 2, 3, 1])


def _posterize(images, strengths):
    size = tf.pow(2.0, tf.round(MAX_LOST_BITS * tf.abs(strengths)))
    return tf.floor(images / size) * size


def _solarize(images, strengths):
    return tf.where(images >= 255 * (1 - tf.abs(strengths)), 255 - images, images)


def _blended(images, others, strengths):
    """Images less like others, or with a negative strength more."""
    return others + (1 + MAX_BLEND * strengths) * (images - others)


def _grey(images):
    return tf.floor(tf.tensordot(images, tf.constant(LUMA), 1) + 0.5)[..., None]


def _color(images, strengths):
    return _blended(images, _grey(images), strengths)


def _contrast(images, strengths):
    mean = tf.reduce_mean(_grey(images), axis=[1, 2], keepdims=True)
    return _blended(images, tf.floor(mean + 0.5), strengths)


def _brightness(images, strengths):
    return _blended(images, tf.zeros_like(images), strengths)


def _sharpness(images, strengths):
    kernel = tf.tile(tf.constant(SMOOTH)[..., None, None], [1, 1, 3, 1])
    smooth = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "VALID")
    inner = tf.pad(smooth, [[0, 0], [1, 1], [1, 1], [0, 0]])
    is_inner = tf.pad(tf.ones_like(smooth, tf.bool), [[0, 0], [1, 1], [1, 1], [0, 0]])
    return _blended(images, tf.where(is_inner, tf.round(inner), images), strengths)


def _moved(images, rows):
    """Images whose pixel (x, y) is where `rows`, ((a, b, c), (d, e, f)), has it from.

    That is (a x + b y + c, d x + e y + f), x and y counted from the middle; black outside.
    """
    (a, b, c), (d, e, f) = (
        [tf.broadcast_to(value, [tf.shape(images)[0]]) for value in row] for row in rows
    )
    x, y = (images.shape[2] - 1) / 2, (images.shape[1] - 1) / 2
    c, f = c + x - a * x - b * y, f + y - d * x - e * y
    zero = tf.zeros_like(a)
    transform = tf.stack([a, b, c, d, e, f, zero, zero], axis=1)
    return keras.ops.image.affine_transform(
        images, transform, "nearest", data_format="channels_last"
    )


def _rotate(images, strengths):
    angle = MAX_ROTATION * strengths[:, 0, 0, 0]
    cos, sin = tf.cos(angle), tf.sin(angle)
    return _moved(images, ((cos, sin, 0.0), (-sin, cos, 0.0)))


def _shear_x(images, strengths):
    shear = MAX_SHEAR * strengths[:, 0, 0, 0]  # from the upper edge on, which stays
    return _moved(images, ((1.0, shear, shear * images.shape[1] / 2), (0.0, 1.0, 0.0)))


def _shear_y(images, strengths):
    shear = MAX_SHEAR * strengths[:, 0, 0, 0]
    return _moved(images, ((1.0, 0.0, 0.0), (shear, 1.0, shear * images.shape[2] / 2)))


def _translate_x(images, strengths):
    pixels = tf.round(MAX_TRANSLATION * strengths[:, 0, 0, 0])
    return _moved(images, ((1.0, 0.0, pixels), (0.0, 1.0, 0.0)))


def _translate_y(images, strengths):
    pixels = tf.round(MAX_TRANSLATION * strengths[:, 0, 0, 0])
    return _moved(images, ((1.0, 0.0, 0.0), (0.0, 1.0, pixels)))


CHANGES = {
    "identity": _identity,
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "posterize": _posterize,
    "solarize": _solarize,
    "color": _color,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "rotate": _rotate,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
