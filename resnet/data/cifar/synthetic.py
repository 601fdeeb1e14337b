"""The embedded data set: 32x32 images of ten shapes, drawn by a seeded generator.

Shapes vary in place, size and colours under noise and a shading, so that colour
and single pixels tell nothing: an untrained network is at 10 %.
"""

import functools

import numpy as np

from resnet.data.dataset import Dataset, Split

LABEL_NAMES = (
    "disc",
    "ring",
    "square",
    "frame",
    "triangle",
    "plus",
    "cross",
    "rows",
    "columns",
    "checkers",
)
SIZE = 32  # pixels a side
NUM_TRAIN, NUM_TEST = 10_000, 2_000
NOISE = 10.0  # standard deviation, of 255
AT_ONCE = 500  # images drawn together: few enough for caches


def generate(num_images, seed):
    """Draws images.

    Args:
      num_images: how many.
      seed: int or sequence of ints; the same seed draws the same images.

    Returns:
      Split: images (N, 32, 32, 3) uint8, labels (N,) int32, classes in equal parts.
    """
    rng = np.random.default_rng(seed)
    labels = _labels(num_images, rng)
    shape = _shapes(labels, rng)[..., None]  # (N, H, W, 1)
    # Two colours at least 112 apart in one channel, on either side at random.
    base = rng.uniform(0, 143, (num_images, 1, 1, 3))
    other = base + rng.uniform(-64, 64, (num_images, 1, 1, 3))
    channel = rng.integers(0, 3, num_images)
    contrast = rng.uniform(112, 144, num_images)
    other[np.arange(num_images), 0, 0, channel] = base[np.arange(num_images), 0, 0, channel]
    other[np.arange(num_images), 0, 0, channel] += contrast
    swap = rng.random((num_images, 1, 1, 1)) < 0.5
    inside, outside = np.where(swap, base, other), np.where(swap, other, base)
    ramp = np.linspace(-1, 1, SIZE)
    slope = rng.uniform(-12, 12, (2, num_images, 1, 1, 1))
    images = np.empty((num_images, SIZE, SIZE, 3), np.uint8)
    for start in range(0, num_images, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        x = np.where(shape[part], inside[part], outside[part])
        x += slope[0, part] * ramp[:, None, None] + slope[1, part] * ramp[None, :, None]
        x += rng.normal(0, NOISE, x.shape)
        images[part] = np.clip(x, 0, 255)
    return Split(images, labels)


def masks(num_images, seed):
    """(N, 32, 32) bool: where the shapes are in the images that `generate` draws."""
    rng = np.random.default_rng(seed)
    return _shapes(_labels(num_images, rng), rng)


def _labels(num_images, rng):
    """(N,) int32, classes in equal parts."""
    return rng.permutation(np.arange(num_images) % len(LABEL_NAMES)).astype(np.int32)


def _shapes(labels, rng):
    """(N, 32, 32) bool: the pixels of each image's shape."""
    n = len(labels)
    radius = rng.uniform(8, 12, (n, 1, 1))
    centre = rng.uniform(radius + 1, SIZE - 2 - radius, (2, n, 1, 1))
    found = np.empty((n, SIZE, SIZE), bool)
    for label in range(len(LABEL_NAMES)):
        those = labels == label
        y = np.arange(SIZE)[None, :, None] - centre[0, those]
        x = np.arange(SIZE)[None, None, :] - centre[1, those]
        found[those] = _shape(label, x, y, radius[those])
    return found


def _shape(label, x, y, radius):
    """(N, 32, 32) bool: the pixels of a label's shape.

    Args:
      label: int.
      x, y: (N, 1, 32), (N, 32, 1), of pixels from the shape's centre.
      radius: (N, 1, 1).
    """

    def disc():
        return np.hypot(x, y) < radius

    def box(size):
        return np.maximum(np.abs(x), np.abs(y)) < size

    def is_even(values):
        return np.floor(values / np.maximum(radius * 0.5, 3)) % 2 == 0

    inner, arm = radius * 0.6, radius * 0.3
    shapes = (
        disc,
        lambda: disc() & (np.hypot(x, y) > inner),
        lambda: box(radius),
        lambda: box(radius) & (np.maximum(np.abs(x), np.abs(y)) > inner),
        lambda: box(radius) & (2 * np.abs(x) < y + radius),
        lambda: box(radius) & (np.minimum(np.abs(x), np.abs(y)) < arm),
        lambda: box(radius) & (np.abs(np.abs(x) - np.abs(y)) < arm),
        lambda: box(radius) & is_even(y),
        lambda: box(radius) & is_even(x),
        lambda: box(radius) & (is_even(y) ^ is_even(x)),
    )
    return shapes[label]()


@functools.cache
def load():
    """The data set: 10,000 training and 2,000 test images, drawn once a process."""
    return Dataset(
        "synthetic", LABEL_NAMES, generate(NUM_TRAIN, [0, 0]), generate(NUM_TEST, [0, 1])
    )
