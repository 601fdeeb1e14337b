"""What becomes of the pixels that pad an image before it is cropped."""

import numpy as np
import pytest

from resnet.data.cifar import pipeline
from resnet.data.cifar.preparation import prepare_for
from resnet.data.dataset import Split
from resnet.data.feed import Share
from resnet.data.registry import CIFAR
from resnet.settings import Recipe

CHANNELS, DEVIATIONS = (np.array(x) for x in CIFAR["cifar-10"].channels)


@pytest.mark.parametrize(
    ("preprocessor", "around"),
    [
        ("cifar", np.zeros(3)),  # the mean colour
        ("cifar-standard", -CHANNELS / DEVIATIONS),  # black
        ("cifar-unit", np.zeros(3)),
        ("cifar-grid", np.zeros(3)),
    ],
)
def test_pixels_that_pad(preprocessor, around):
    """White images before a grey mean: what is not 1 - mean comes from outside of them."""
    split = Split(np.full([40, 32, 32, 3], 255, np.uint8), np.zeros(40, np.int32))
    mean = np.full([32, 32, 3], 100, np.float32)
    preparation = prepare_for(preprocessor, "cifar-10", lambda _: mean)
    images, _ = next(
        iter(pipeline.training_batches(split, preparation, Recipe(seed=0), 0, Share(40)))
    )
    white = {
        "cifar": np.full(3, 155.0),
        "cifar-standard": (1 - CHANNELS) / DEVIATIONS,
        "cifar-unit": np.ones(3),
        "cifar-grid": np.full(3, 127 / 64),
    }[preprocessor]
    pixels = images.numpy().reshape(-1, 3)
    is_white = np.abs(pixels - white).max(axis=1) < 1e-4
    assert 0.6 < is_white.mean() < 1
    np.testing.assert_allclose(
        pixels[~is_white], np.broadcast_to(around, pixels.shape)[~is_white], atol=1e-5
    )
