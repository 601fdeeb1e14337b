"""Glow on images of 32 pixels: bits per dimension fall, and a sheet of samples is drawn meanwhile.

    .venv/bin/python examples/glow.py --dataset cifar-10 --minutes 10

Needs no files with `--dataset synthetic`. The sheet is glow.png, 8 x 8 samples, drawn anew after
each round of training.
"""

import side_by_side  # noqa: F401, first, because it loads TensorFlow quietly

# isort: split
import argparse
import time

import keras
import numpy as np
import PIL.Image
import tensorflow as tf

from resnet import reversible
from resnet.data.cifar.input import load_dataset

SIDE = 8  # samples on the sheet
TEST_IMAGES = 512


class Rounds(keras.callbacks.Callback):
    """Evaluates and draws after each round; ends training when the time is over."""

    def __init__(self, flow, images, seconds, sheet):
        super().__init__()
        self.flow, self.images, self.sheet = flow, images, sheet
        self.start, self.seconds = time.perf_counter(), seconds

    def on_train_batch_end(self, batch, logs=None):
        """Ends within a round."""
        if time.perf_counter() - self.start > self.seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Prints a line and draws the sheet."""
        bits = self.flow.evaluate(self.images, batch_size=128, verbose=0)
        minutes = (time.perf_counter() - self.start) / 60
        print(
            f"round {epoch + 1}, {minutes:.1f} minutes: bits per dimension {logs['loss']:.3f} in "
            f"training, {bits:.3f} on {len(self.images)} test images",
            flush=True,
        )
        draw(self.flow, self.sheet)


def draw(flow, path):
    """A sheet of samples."""
    samples = flow.sample(SIDE**2, temperature=0.8, seed=0).numpy().astype(np.uint8)
    rows = samples.reshape(SIDE, SIDE, *samples.shape[1:])
    PIL.Image.fromarray(np.concatenate(np.concatenate(rows, axis=1), axis=1)).save(path)


def main():
    """Trains."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", default="synthetic", help="as run_cifar_train.py's")
    parser.add_argument("--data_folder", default="data")
    parser.add_argument("--flow", default="glow", choices=reversible.FLOWS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--round", type=int, default=200, help="steps between two sheets")
    parser.add_argument("--sheet", default="glow.png")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    dataset = load_dataset(options.dataset, options.data_folder)
    images = tf.data.Dataset.from_tensor_slices(dataset.train.images)
    batches = images.shuffle(len(dataset.train.images), seed=0).repeat().batch(options.batch_size)
    flow = reversible.get_flow(options.flow, loop=True)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=100_000, warmup_target=1e-3, warmup_steps=100
    )
    flow.compile(keras.optimizers.Adam(rate, clipnorm=50.0))
    rounds = Rounds(flow, dataset.test.images[:TEST_IMAGES], 60 * options.minutes, options.sheet)
    flow.fit(
        batches,
        steps_per_epoch=options.round,
        epochs=1_000_000,
        callbacks=[rounds],
        shuffle=False,  # it is
        verbose=0,
    )
    print(f"{options.sheet} holds {SIDE**2} samples")


if __name__ == "__main__":
    main()
