"""The first batch of what Keras' fit takes, and what a flow asks of it."""

import itertools
import types
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def first_batch(x: Any, batch_size: int) -> tuple[Any, Any]:
    """(the first images, x of which nothing is lost).

    Args:
      x: as fit's: an array, a data set, a Keras data set, or a generator of batches.
      batch_size: of an array.

    Returns:
      Instead of images None, where x is empty or something else, of which Keras says what it
      thinks.
    """
    if isinstance(x, tf.data.Dataset):
        batch = next(iter(x), None)
    elif isinstance(x, np.ndarray | tf.Tensor):
        batch = x[:batch_size] if len(x) else None
    elif isinstance(x, keras.utils.PyDataset):
        batch = x[0] if len(x) else None
    elif isinstance(x, types.GeneratorType):
        batch, rest = next(x, None), x
        x = (one for one in itertools.chain([] if batch is None else [batch], rest))
    else:
        return None, x
    return (batch[0] if isinstance(batch, list | tuple) else batch), x


def require_pixels(x: tf.Tensor, levels: int, name: str) -> None:
    """Checks values.

    Raises:
      ValueError: they are not whole numbers of 0 to levels - 1.
    """
    least, most = float(tf.reduce_min(x)), float(tf.reduce_max(x))
    if not (least >= 0 and most <= levels - 1 and bool(tf.reduce_all(x == tf.floor(x)))):
        raise ValueError(
            f"{name}: with pixel_levels {levels}, images hold whole numbers of 0 to "
            f"{levels - 1}, but these hold values from {least:g} to {most:g}: give pixels as "
            "they are read, or pixel_levels None for other values"
        )
