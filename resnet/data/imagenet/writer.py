"""Writing one shard of ImageNet, in a process of its own."""

import errno
import multiprocessing
import os
import signal
import threading

import tensorflow as tf

from resnet.data.imagenet.example import make_example
from resnet.errors import DataError
from resnet.files import write_text, written_beside


def start_worker():
    """Prepares a process for `write_shard`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    # A killed parent says nothing: without this, workers would wait for ever.
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    tf.config.set_visible_devices([], "GPU")


def write_shard(path, records, strict):
    """Writes one shard, all or nothing.

    Args:
      path: where to.
      records: [(RawImage, label, synset, text, boxes)].
      strict: whether an unreadable image is an error.

    What could not be read, and why, is also written beside it, at `problems_path`.

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
                        content = _read(image)
                        example = make_example(content, image.name, label, synset, text, boxes)
                        writer.write(example)
                    except DataError as error:
                        if strict:
                            raise DataError(f"{image} cannot be read: {error}") from None
                        problems.append(f"{image}: {error}")
        except tf.errors.OpError as error:
            # written_beside says what to do.
            raise OSError(errno.EIO, error.message, str(temporary)) from None
        if problems:
            write_text(problems_path(path), "\n".join([*problems, ""]))
    return problems


def problems_path(path):
    """Where the images left out of a shard are named until the build is complete."""
    return path.with_name(f"{path.name}.unreadable")


def _read(image):
    try:
        return image.read()
    except OSError as error:  # not one of the shard that is being written
        raise DataError(error.strerror or str(error)) from None
