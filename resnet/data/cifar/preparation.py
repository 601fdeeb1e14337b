"""How CIFAR's images become a network's input, by the names that configs give."""

import dataclasses

import numpy as np
import tensorflow as tf

from resnet.data.registry import CIFAR


@dataclasses.dataclass(frozen=True)
class Preparation:
    """(image - offset) / divisor; in training also padded, cropped and flipped.

    offset, divisor: broadcast against (N, H, W, 3), of 255.
    padding: pixels a side before the random crop.
    pads_raw: whether the pixels that pad are black, 0 before the arithmetic, or 0 after it.
    """

    offset: np.ndarray | float
    divisor: np.ndarray | float
    padding: int
    pads_raw: bool = True

    def __call__(self, images):
        """(N, H, W, 3) of 0 to 255, any type -> float32 of the same shape."""
        return (tf.cast(images, tf.float32) - self.offset) / self.divisor


def prepare_for(preprocessor, dataset, mean_image):
    """The Preparation of a config.

    Args:
      preprocessor: "cifar", "cifar-standard" or "cifar-unit", as settings explains them.
      dataset: name of a data set.
      mean_image: function that returns the (H, W, 3) mean of the training images, of 255.
    """
    if preprocessor == "cifar-standard":
        channels = CIFAR[dataset].channels
        mean, deviation = (np.float32(255) * np.array(x, np.float32) for x in channels)
        return Preparation(mean, deviation, padding=4)
    if preprocessor == "cifar-unit":
        return Preparation(0.0, 255.0, padding=2)
    return Preparation(mean_image(), 1.0, padding=2, pads_raw=False)
