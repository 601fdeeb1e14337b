"""Writing one shard of ImageNet, in a process of its own."""

import signal

import tensorflow as tf

from resnet.data.imagenet_example import make_example
from resnet.errors import DataError
from resnet.files import written_beside


def start_worker():
    """Prepares a process for `write_shard`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    tf.config.set_visible_devices([], "GPU")


def write_shard(path, records, strict):
    """Writes one shard, all or nothing.

    Args:
      path: where to.
      records: [(RawImage, label, synset, text, boxes)].
      strict: whether an unreadable image is an error.

    Returns:
      Lines that name the images that could not be read, and why.

    Raises:
      DataError: one could not, and `strict`.
      UserError: the shard cannot be written.
    """
    problems = []
    with written_beside(path) as temporary:
        try:
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for image, label, synset, text, boxes in records:
                    try:
                        content = image.read()
                        example = make_example(content, image.name, label, synset, text, boxes)
                        writer.write(example)
                    except DataError as error:
                        if strict:
                            raise DataError(f"{image} cannot be read: {error}") from None
                        problems.append(f"{image}: {error}")
        except tf.errors.OpError as error:
            raise OSError(error.message) from None  # written_beside says what to do
    return problems
