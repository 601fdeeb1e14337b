"""Images that cannot be taken while a run goes on, and where they lie."""

import tensorflow as tf

from resnet.errors import DataError, message_of

# What a batch that cannot be read, or does not fit, leads to.
BAD_DATA = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnknownError,
)


def bad_data(error, split, find_damage):
    """The DataError of one of BAD_DATA.

    Args:
      error: that of TensorFlow.
      split: what the images are for, such as "training".
      find_damage: (error) -> text, or None; see `data.feed.Feed`.
    """
    found = find_damage(error)
    remedy = "Remove it and build again" if found else "Build their shards again"
    return DataError(
        f"cannot take the {split} images: {found or message_of(error)}. {remedy}, or change the "
        "config that they do not fit"
    )
