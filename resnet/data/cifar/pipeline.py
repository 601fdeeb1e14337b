"""Batches on tf.data: a step's images depend on (seed, step) alone.

Any step can be reproduced, and training resumed at it, without replaying the
epoch before it.
"""

import numpy as np
import tensorflow as tf

from resnet.data.augmentation import FLIP, cutout, draw_cutout, draw_mix, mix
from resnet.data.trivial_augment import draw_trivial, trivial_augment

CHUNK_BYTES = 2**22  # of images that are summed at a time, whose numbers take eight times that
# Of the cipher; with TensorFlow's 4, seed 0 leaves half of few images in place.
SHUFFLE_ROUNDS = 12


def mean_image(split):
    """Mean over the images of a split: (H, W, 3) float32 in [0, 255]."""
    total = np.zeros(split.images.shape[1:], np.float64)
    for start in range(0, len(split), 10_000):  # bounds the copy that a sum of uint8 makes
        total += split.images[start : start + 10_000].sum(axis=0, dtype=np.float64)
    return (total / len(split)).astype(np.float32)


def channels_of(split):
    """Means and deviations of red, green and blue over a split's pixels, (2, 3) float32, of 1."""
    total, squares = np.zeros(3), np.zeros(3)  # whole numbers, so that their sums are exact
    count = split.images[..., 0].size
    num_images = max(1, CHUNK_BYTES // split.images[0].size)
    for start in range(0, len(split), num_images):
        pixels = split.images[start : start + num_images].astype(np.float64)
        total += pixels.sum(axis=(0, 1, 2))
        squares += np.square(pixels, out=pixels).sum(axis=(0, 1, 2))
    mean = total / 255 / count
    # Images of one colour have no deviation, and divide by nothing.
    deviation = np.sqrt(np.maximum(squares / 255**2 / count - mean**2, 1e-6))
    return np.stack([mean, deviation]).astype(np.float32)


def training_indices(step, batch_size, num_images, seed):
    """Which images make up a step's batch.

    Images come in a new random order every epoch; batches may straddle epochs.

    Args:
      step: int64 scalar, from 0.
      batch_size: images a step.
      num_images: size of the training split.
      seed: int.

    Returns:
      (batch_size,) int64 in [0, num_images).
    """
    position = step * batch_size + tf.range(batch_size, dtype=tf.int64)
    epoch, place = position // num_images, position % num_images
    seeds = tf.stack([tf.fill([batch_size], tf.constant(seed, tf.int64)), epoch], axis=1)
    last = tf.constant(num_images - 1, tf.int64)
    # Not tf.random.experimental.index_shuffle: it takes no seed per index.
    return tf.raw_ops.RandomIndexShuffle(
        index=place,
        seed=tf.pad(tf.cast(seeds, tf.int32), [[0, 0], [0, 1]]),
        max_index=last,
        rounds=SHUFFLE_ROUNDS,
    )


def seed_of(seed, step):
    """The seed of a step's draws, (2,) int64."""
    return tf.stack([tf.cast(seed, tf.int64), step])


def epoch_of(step, batch_size, num_images):
    """The epoch that each image of a step belongs to, (batch_size,) int64 from 0."""
    return (step * batch_size + tf.range(batch_size, dtype=tf.int64)) // num_images


def draw_augmentation(batch_size, step, seed, padding):
    """Random crops and flips of a step's images.

    Returns:
      (top, left, flip), each (batch_size,): where the crop begins, int32 in
      [0, 2 padding]; bool.
    """
    step_seed = seed_of(seed, step)
    top, left = tf.unstack(
        tf.random.stateless_uniform(
            [2, batch_size], step_seed, maxval=2 * padding + 1, dtype=tf.int32
        )
    )
    flip = tf.random.stateless_uniform([batch_size], step_seed + 1, maxval=2, dtype=tf.int32)
    return top, left, flip == 1


def alternating_flips(indices, epochs, num_images, seed):
    """Every image flipped in every second epoch: half of them in the even ones.

    As in Jordan 2024, https://arxiv.org/abs/2404.00498.

    Args:
      indices, epochs: (N,) int64, images and the epochs they are taken in.
      num_images: size of the training split.
      seed: int, which says which half.

    Returns:
      (N,) bool.
    """
    drawn = tf.random.stateless_uniform([num_images], [seed, FLIP], maxval=2, dtype=tf.int32)
    return (tf.gather(drawn, indices) + tf.cast(epochs % 2, tf.int32)) % 2 == 1


def augment(images, padding, top, left, flip, mode="zeros"):
    """Crops padded images and flips some, for a whole batch.

    Args:
      images: (N, H, W, 3) of any type.
      padding: pixels a side.
      top, left, flip: as `draw_augmentation` returns them.
      mode: "zeros", or "reflect": what the pixels around an image are.

    Returns:
      A tensor like images.
    """
    height, width = images.shape[1], images.shape[2]
    rows = top[:, None] + tf.range(height)  # (N, H)
    columns = tf.range(width)
    columns = tf.where(flip[:, None], columns[::-1], columns) + left[:, None]  # (N, W)
    sides = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
    padded = tf.pad(images, sides, "REFLECT" if mode == "reflect" else "CONSTANT")
    cropped = tf.gather(padded, rows, axis=1, batch_dims=1)
    # Columns second, on axis 2 of each image.
    return tf.gather(cropped, columns, axis=2, batch_dims=1)


def training_batches(split, preparation, recipe, first_step, share):
    """Endless stream of augmented training batches.

    A step's images are the same however many replicas and hosts share them.

    Args:
      split: data.dataset.Split.
      preparation: Preparation.
      recipe: settings.Recipe, for the seed and how images are augmented.
      first_step: the step to begin at, int.
      share: data.feed.Share.

    Returns:
      tf.data.Dataset of (images (N, H, W, 3) float32, labels (N,) int32, or MixedLabels).
    """
    seed, size = recipe.seed, share.step_size
    height, width, _ = split.images.shape[1:]
    with tf.device("/cpu:0"):  # the whole split: never on a GPU
        # A constant keeps a second copy of its array for a while; what is computed of it does not.
        images, labels = tf.identity(tf.constant(split.images)), tf.constant(split.labels)

    def draw(step):
        """What a step's images are and how they are augmented, a list of (size, ...) tensors."""
        indices = training_indices(step, size, len(split), seed)
        top, left, flip = draw_augmentation(size, step, seed, preparation.padding)
        if recipe.flip == "alternating":
            epochs = epoch_of(step, size, len(split))
            flip = alternating_flips(indices, epochs, len(split), seed)
        elif recipe.flip == "none":
            flip = tf.zeros_like(flip)
        changes = draw_trivial(size, seed_of(seed, step)) if recipe.trivial_augment else ()
        return [indices, top, left, flip, *changes]

    def take(drawn):
        """(images, labels) of a part of what was drawn."""
        indices, top, left, flip, *changes = drawn

        def cropped(x):
            return augment(x, preparation.padding, top, left, flip, recipe.padding)

        def changed(x):
            return trivial_augment(x, *changes) if changes else x

        x = tf.gather(images, indices)
        if preparation.pads_raw:
            x = preparation(changed(cropped(x)))
        else:
            x = cropped(preparation(changed(x)))
        return x, tf.gather(labels, indices)

    @tf.autograph.experimental.do_not_convert
    def batch(position):
        step, replica = position // share.num_replicas, position % share.num_replicas
        part = share.host * share.num_replicas + replica
        start, end = part * share.batch_size, (part + 1) * share.batch_size
        drawn = draw(step)
        x, y = take([values[start:end] for values in drawn])
        step_seed = seed_of(seed, step)
        if recipe.mixup or recipe.cutmix:
            # The partners are the step's images in the reverse order.
            others = take([values[::-1][start:end] for values in drawn])
            mixing = draw_mix(recipe.mixup, recipe.cutmix, height, width, step_seed)
            x, y = mix(x, y, *others, *mixing)
        if recipe.cutout:
            centres = draw_cutout(size, height, width, step_seed)[start:end]
            x = cutout(x, centres, recipe.cutout)
        return tf.ensure_shape(x, [share.batch_size, height, width, 3]), y

    first = first_step * share.num_replicas
    positions = tf.data.Dataset.counter(first, dtype=tf.int64)
    return positions.map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)


def evaluation_batches(split, preparation, batch_size):
    """Every image once, in order, unaugmented; the last batch may be smaller.

    Returns:
      tf.data.Dataset of (images (N, H, W, 3) float32, labels (N,) int32).
    """

    @tf.autograph.experimental.do_not_convert
    def prepare(images, labels):
        return preparation(images), labels

    batches = tf.data.Dataset.from_tensor_slices((split.images, split.labels)).batch(batch_size)
    return batches.map(prepare).prefetch(2)
