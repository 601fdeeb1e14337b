"""How CIFAR's images become a network's input, by the names that configs give."""

import dataclasses

import numpy as np

from resnet.data.registry import CIFAR
from resnet.pixels import Scaling


@dataclasses.dataclass(frozen=True)
class Preparation(Scaling):
    """A Scaling; in training, images are also padded, cropped and flipped.

    padding: pixels a side before the random crop.
    pads_raw: whether the pixels that pad are black, 0 before the arithmetic, or 0 after it.
    """

    padding: int
    pads_raw: bool = True


MEAN_IMAGE, CHANNELS = "mean_image", "channels"  # what may have to be computed of images


def prepare_for(preprocessor, dataset, statistic):
    """The Preparation of a config.

    Args:
      preprocessor: one of CIFAR's, as settings explains them.
      dataset: name of a data set.
      statistic: (name) -> array of the training images: MEAN_IMAGE, (H, W, 3), of 255; or
        CHANNELS, (2, 3): means and deviations, of 1.
    """
    if preprocessor == "cifar-standard":
        channels = CIFAR[dataset].channels
        channels = statistic(CHANNELS) if channels is None else channels
        mean, deviation = (np.float32(255) * np.array(x, np.float32) for x in channels)
        return Preparation(mean, deviation, padding=4)
    if preprocessor == "cifar-unit":
        return Preparation(0.0, 255.0, padding=2)
    if preprocessor == "cifar-grid":
        return Preparation(128.0, 64.0, padding=2, pads_raw=False)
    return Preparation(statistic(MEAN_IMAGE), 1.0, padding=2, pads_raw=False)
