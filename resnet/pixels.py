"""From pixels of 0 to 255 to what a network takes."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from resnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Scaling:
    """(image - offset) / divisor.

    offset, divisor: broadcast against (N, H, W, 3), of 255.
    """

    offset: np.ndarray | float
    divisor: np.ndarray | float

    def to_json(self) -> list[Any]:
        """[offset, divisor], as JSON has them; `Scaling(*values)` is the same."""
        return [np.asarray(values, np.float32).tolist() for values in (self.offset, self.divisor)]

    def __call__(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """(N, H, W, 3) of 0 to 255, any type -> float32 of the same shape."""
        return (tf.cast(images, tf.float32) - self.offset) / self.divisor


def prepare(scaling: Scaling | None, images: tf.Tensor | np.ndarray) -> tf.Tensor:
    """What a network takes, of pixels.

    Args:
      scaling: the network's; None: nobody knows.
      images: (N, H, W, 3) or one of (H, W, 3), of 0 to 255, uint8 or float.

    Returns:
      (N, H, W, 3) float32; N = 1 for one image.

    Raises:
      UsageError (a ValueError): `scaling` is None, or the images have another shape.
    """
    if scaling is None:
        raise UsageError(
            "how this network's images are prepared is not known: only trained weights say, "
            'such as get_model("revnet-38", weights="cifar-10")'
        )
    images = tf.convert_to_tensor(images)
    if images.shape.rank == 3:
        images = images[None]
    if images.shape.rank != 4 or images.shape[-1] != 3:
        raise UsageError(
            f"images have shape {tuple(images.shape)}, but must have (N, height, width, 3), or "
            "(height, width, 3) for one: put three channels last"
        )
    sides = np.shape(scaling.offset)[-3:-1]  # of a mean image; others are of any size
    if sides and not images.shape[1:3].is_compatible_with(sides):
        raise UsageError(
            f"images have shape {tuple(images.shape)}, but are prepared by a mean image of "
            f"{' x '.join(map(str, sides))} pixels: resize them to those"
        )
    return scaling(images)
