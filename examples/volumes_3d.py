"""A 3-D convolutional network that tells shapes in noisy volumes apart.

    .venv/bin/python examples/volumes_3d.py

Volumes are what memory runs out for: a batch of 12 with 32^3 voxels and 16 channels
takes 24 MB, each time it is kept. Layers are (N, depth, height, width, channels).
"""

from side_by_side import side_by_side  # first, because it loads TensorFlow quietly

# isort: split
import keras
import numpy as np
import tensorflow as tf

from resnet import reversible

SIZE, BATCH = 32, 12
NAMES = ("ball", "shell", "cube", "rod")


def draw(num_volumes, seed):
    """Volumes (N, 32, 32, 32, 1) float32 in noise, labels (N,)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_volumes) % len(NAMES)
    radius = rng.uniform(6, 10, num_volumes)
    centre = rng.uniform(11, SIZE - 11, (num_volumes, 3))
    volumes = rng.normal(0, 0.3, (num_volumes, SIZE, SIZE, SIZE, 1))
    axes = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"))
    for i, name in enumerate(np.take(NAMES, labels)):
        place = np.abs(axes - centre[i].reshape(3, 1, 1, 1)) / radius[i]
        ball, box = np.linalg.norm(place, axis=0), place.max(axis=0)
        volumes[i, ..., 0] += {
            "ball": ball < 1,
            "shell": (ball < 1) & (ball > 0.6),
            "cube": box < 0.8,
            "rod": (place[:2].max(axis=0) < 0.35) & (place[2] < 1.2),
        }[name]
    return volumes.astype(np.float32), labels.astype(np.int32)


def residual(channels):
    """F or G: a 3-D convolution behind batch norm and ReLU."""
    return keras.Sequential(
        [
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Conv3D(channels, 3, padding="same"),
        ]
    )


def stage(channels, num_units, backprop):
    """Units on `channels`, half of them in F and half in G."""
    units = [(residual(channels // 2), residual(channels // 2)) for _ in range(num_units)]
    return reversible.Sequence(units, backprop=backprop, loop=backprop == "reversible")


def make(backprop):
    """step(); see side_by_side."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input([SIZE, SIZE, SIZE, 1]),
            keras.layers.Conv3D(16, 3, padding="same"),
            stage(16, 8, backprop),
            keras.layers.Conv3D(32, 2, strides=2),
            stage(32, 8, backprop),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling3D(),
            keras.layers.Dense(len(NAMES)),
        ]
    )
    optimizer = keras.optimizers.Adam(5e-3)
    optimizer.build(model.trainable_variables)
    batches = tf.data.Dataset.from_tensor_slices(draw(96, seed=1))
    batches = iter(batches.shuffle(96, seed=0).repeat().batch(BATCH, drop_remainder=True))

    @tf.function
    def train(volumes, labels):
        with tf.GradientTape() as tape:
            logits = model(volumes, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return lambda: train(*next(batches))


if __name__ == "__main__":
    side_by_side(make, num_steps=20)
