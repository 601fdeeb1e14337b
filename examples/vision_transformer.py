"""A reversible vision transformer: attention is F, the perceptron is G.

    .venv/bin/python examples/vision_transformer.py

Trains on CIFAR-10 where ./setup.sh has put it, and else on the embedded data set. As in
Mangalam et al. 2022, "Reversible Vision Transformers", both streams start as the embedded
patches, so that the two are a pair rather than halves of the channels:

    y1 = x1 + attention(x2)        y2 = x2 + perceptron(y1)
"""

from side_by_side import side_by_side  # first, because it loads TensorFlow quietly

# isort: split
import keras
import numpy as np

from resnet import reversible
from resnet.data.cifar.input import load_dataset
from resnet.errors import DataError

PATCH, WIDTH, HEADS, DEPTH = 4, 64, 4, 12
NUM_TOKENS = (32 // PATCH) ** 2
BATCH = 128


def load():
    """CIFAR-10, or what is embedded."""
    try:
        return load_dataset("cifar-10", "data")
    except DataError:
        return load_dataset("synthetic", "data")


@keras.saving.register_keras_serializable("examples")
class SelfAttention(keras.layers.Layer):
    """Tokens (N, tokens, width) attend to each other, behind layer norm."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = keras.layers.LayerNormalization()
        self.attention = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS)

    def build(self, shape):
        self.norm.build(shape)
        self.attention.build(shape, shape)
        self.built = True

    def call(self, x):
        x = self.norm(x)
        return self.attention(x, x)


@keras.saving.register_keras_serializable("examples")
class Positions(keras.layers.Layer):
    """Adds a vector that is learned to the token at each position."""

    def build(self, shape):
        self.vectors = self.add_weight(shape=shape[1:], initializer="random_normal")

    def call(self, x):
        return x + self.vectors


def perceptron():
    """Two dense layers on every token, behind layer norm."""
    return keras.Sequential(
        [
            keras.layers.LayerNormalization(),
            keras.layers.Dense(4 * WIDTH, "gelu"),
            keras.layers.Dense(WIDTH),
        ]
    )


def make(backprop):
    """step(); see side_by_side."""
    keras.utils.set_random_seed(0)
    images = keras.Input([32, 32, 3])
    tokens = keras.layers.Conv2D(WIDTH, PATCH, strides=PATCH)(images / 128.0 - 1.0)
    tokens = Positions()(keras.layers.Reshape([NUM_TOKENS, WIDTH])(tokens))
    units = [(SelfAttention(), perceptron()) for _ in range(DEPTH)]
    layer = reversible.Sequence(units, backprop=backprop, loop=backprop == "reversible")
    one, other = layer([tokens, tokens])
    tokens = keras.layers.LayerNormalization()(keras.layers.Concatenate()([one, other]))
    logits = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling1D()(tokens))
    model = keras.Model(images, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    dataset, rng = load(), np.random.default_rng(0)

    def step():
        split = dataset.train.take(rng.integers(0, len(dataset.train), BATCH))
        return model.train_on_batch(split.images, split.labels)

    return step


if __name__ == "__main__":
    side_by_side(make, num_steps=20)
