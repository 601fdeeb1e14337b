"""The reversible U-Net of the examples: what it keeps, its gradients, and that it inverts."""

import functools
import sys

import numpy as np
import pytest
import tensorflow as tf

from processes import REPOSITORY
from resnet.data.cifar import synthetic
from resnet.reversible import stored_bytes


@pytest.fixture(scope="module")
def u_net():
    sys.path.insert(0, str(REPOSITORY / "examples"))
    try:
        import u_net
    finally:
        sys.path.remove(str(REPOSITORY / "examples"))
    return u_net


def test_what_is_kept_does_not_grow_with_depth(u_net):
    def kept(backprop, num_units):
        network, params = u_net.make_network(num_units)
        params = tf.nest.map_structure(tf.constant, params)

        def function(params, images):
            return network(params, images, backprop), ()

        return stored_bytes(function, params, tf.TensorSpec([2, 32, 32, 3]))

    assert kept("reversible", 2) == kept("reversible", 1)
    assert kept("stored", 2) > 1.5 * kept("stored", 1)
    # What comes out, which the head reads, too.
    assert kept("reversible", 1) <= 2 * 2 * (2 * u_net.CHANNELS * 32 * 32 * 4)


def test_gradients_are_those_of_stored_backprop(u_net):
    network, params = u_net.make_network(1)
    rng = np.random.default_rng(0)
    # Away from the zeros that it begins at.
    params = tf.nest.map_structure(
        lambda value: tf.constant(value + 0.05 * rng.normal(size=value.shape), tf.float32), params
    )
    images = tf.constant(rng.uniform(-1, 1, [2, 32, 32, 3]), tf.float32)
    masks = tf.constant(synthetic.masks(2, 0).astype(np.float32))

    @functools.partial(tf.function, autograph=False)
    def gradients(backprop):
        with tf.GradientTape() as tape:
            tape.watch(params)
            loss = u_net.pixel_loss(network(params, images, backprop), masks)
        return tape.gradient(loss, params)

    found, wanted = (tf.nest.flatten(gradients(backprop)) for backprop in ("reversible", "stored"))
    largest = max(float(tf.norm(expected)) for expected in wanted)
    for got, expected in zip(found, wanted, strict=True):
        # Of zeros that were restored to rounding, a gradient is not quite zero.
        limit = 1e-4 * float(tf.norm(expected)) + 1e-6 * largest
        assert float(tf.norm(got - expected)) <= limit


def test_masks_are_of_the_images_that_are_drawn():
    """In each image, the two sides of the mask are two colours."""
    images = synthetic.generate(20, seed=3).images.astype(np.float32)
    for image, mask in zip(images, synthetic.masks(20, seed=3), strict=True):
        inside, outside = image[mask].mean(axis=0), image[~mask].mean(axis=0)
        assert np.abs(inside - outside).max() > 60
