"""A functional Keras model with reversible stages, trained with `fit`.

    .venv/bin/python examples/keras_fit.py

Trains on the embedded data set. Where the shape changes, an ordinary layer stands between
two reversible stages.
"""

from side_by_side import side_by_side  # first, because it loads TensorFlow quietly

# isort: split
import keras
import tensorflow as tf

from resnet import reversible
from resnet.data.cifar.input import load_dataset

NUM_IMAGES, BATCH = 1500, 250


def residual(channels):
    """F or G."""
    return keras.Sequential(
        [
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Conv2D(channels, 3, padding="same", use_bias=False),
        ]
    )


def stage(channels, num_units, backprop):
    """Units on `channels`, half of them in F and half in G."""
    units = [(residual(channels // 2), residual(channels // 2)) for _ in range(num_units)]
    return reversible.Sequence(units, exact=True, backprop=backprop, loop=backprop == "reversible")


def make(backprop):
    """step(); see side_by_side."""
    keras.utils.set_random_seed(0)
    images = keras.Input([32, 32, 3])
    h = keras.layers.Conv2D(32, 3, padding="same")(images / 128.0 - 1.0)
    h = stage(32, 6, backprop)(h)
    h = keras.layers.Conv2D(64, 3, strides=2, padding="same")(h)
    h = stage(64, 6, backprop)(h)
    h = keras.layers.ReLU()(keras.layers.BatchNormalization()(h))
    logits = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(h))
    model = keras.Model(images, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    dataset = load_dataset("synthetic", "data")
    train = dataset.train.take(slice(NUM_IMAGES))
    batches = tf.data.Dataset.from_tensor_slices((train.images, train.labels)).batch(BATCH)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread sleeps for seconds, and `fit` waits for it
    batches = batches.with_options(options)

    def step():
        return model.fit(batches, shuffle=False, verbose=0).history["loss"][0]

    return step


if __name__ == "__main__":
    side_by_side(make, num_steps=3, what="an epoch")
