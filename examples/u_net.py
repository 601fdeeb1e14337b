"""A U-Net that is reversible from end to end, down and up: it finds the shapes in noisy images.

    .venv/bin/python examples/u_net.py

A part of the channels goes down, to a quarter of the pixels and four times the channels, and comes
back up to those that waited (Etmann et al. 2020, https://arxiv.org/abs/2005.05220). All of it is
one sequence of couplings, so that no level's input is kept, however many units it has.
"""

from side_by_side import side_by_side  # first, because it loads TensorFlow quietly

# isort: split
import keras
import numpy as np
import tensorflow as tf

from resnet import reversible
from resnet.data.cifar import synthetic

BATCH = 64
CHANNELS = 16  # of a half at each level, but the last, which has twice as many
LEVELS, UNITS = 3, 4  # units on each level, down and up


class Part(reversible.Coupling):
    """Half of each tensor's channels goes on, half waits: pair -> (pair, waiting pair)."""

    def forward(self, params, x):
        """(N, H, W, C) each -> (N, H, W, C/2) each."""
        (down1, wait1), (down2, wait2) = (tf.split(half, 2, axis=-1) for half in x)
        return ((down1, down2), (wait1, wait2)), ()

    def inverse(self, params, y):
        """Those that come back, and those that waited for them, joined."""
        return tuple(tf.concat(halves, axis=-1) for halves in zip(*y, strict=True))


def residual(params, x):
    """F or G: two convolutions; (N, H, W, C) -> (N, H, W, C), and nothing else."""
    h = tf.nn.relu(tf.nn.conv2d(x, params["w1"], 1, "SAME") + params["b1"])
    return tf.nn.conv2d(h, params["w2"], 1, "SAME"), ()


def new_residual(rng, channels):
    """Its parameters, with which it returns zeros at first."""
    w1 = rng.normal(0, np.sqrt(2 / (9 * channels)), [3, 3, channels, channels])
    zeros = np.zeros([3, 3, channels, channels])
    return {"w1": w1, "b1": np.zeros(channels), "w2": zeros}


def levels(rng, num_units, channels=CHANNELS, level=1):
    """[(coupling, its parameters)] of a level and all below it, in order."""

    def units():
        return [
            (
                reversible.AdditiveCoupling(residual, residual),
                (new_residual(rng, channels), new_residual(rng, channels)),
            )
            for _ in range(num_units)
        ]

    if level == LEVELS:
        return units()
    squeeze, part = reversible.Squeeze(), Part()
    below = [
        (squeeze, ()),
        *levels(rng, num_units, 2 * channels, level + 1),
        (reversible.Inverse(squeeze), ()),
    ]
    # What waits is carried along beside the pair.
    below = [(reversible.First(coupling), params) for coupling, params in below]
    return [*units(), (part, ()), *below, (reversible.Inverse(part), ()), *units()]


def make_network(num_units=UNITS):
    """(network, parameters): `network(params, images, backprop)` -> logits (N, 32, 32)."""
    rng = np.random.default_rng(0)
    couplings, params = zip(*levels(rng, num_units), strict=True)
    params = {"units": params, "head": rng.normal(0, 0.1, [1, 1, 2 * CHANNELS, 1])}

    def network(params, images, backprop):
        x = tf.pad(images, [[0, 0]] * 3 + [[0, 2 * CHANNELS - 3]])
        x = tuple(tf.split(x, 2, axis=-1))
        y, _ = reversible.run_sequence(couplings, params["units"], x, backprop)
        return tf.nn.conv2d(tf.concat(y, axis=-1), params["head"], 1, "SAME")[..., 0]

    return network, tf.nest.map_structure(lambda value: value.astype(np.float32), params)


def pixel_loss(logits, masks):
    """Mean cross-entropy of all pixels."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(masks, logits))


def make(backprop):
    """step(); see side_by_side."""
    network, start = make_network()
    variables = tf.nest.map_structure(tf.Variable, start)
    flat = tf.nest.flatten(variables)
    optimizer = keras.optimizers.Adam(2e-3)
    optimizer.build(flat)
    images = synthetic.generate(2000, seed=1).images / np.float32(128) - 1
    masks = synthetic.masks(2000, seed=1).astype(np.float32)
    batches = tf.data.Dataset.from_tensor_slices((images, masks))
    batches = iter(batches.shuffle(2000, seed=0).repeat().batch(BATCH, drop_remainder=True))

    @tf.function(autograph=False)
    def train(images, masks):
        params = tf.nest.map_structure(tf.convert_to_tensor, variables)
        with tf.GradientTape() as tape:
            tape.watch(params)
            loss = pixel_loss(network(params, images, backprop), masks)
        optimizer.apply(tf.nest.flatten(tape.gradient(loss, params)), flat)
        return loss

    return lambda: train(*next(batches))


if __name__ == "__main__":
    side_by_side(make, num_steps=150)
