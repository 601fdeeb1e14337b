"""Reads the images of class folders into memory."""

import concurrent.futures
import os

import numpy as np
from tqdm import tqdm

from resnet.data.dataset import Dataset, Split
from resnet.data.folder.tree import find_tree
from resnet.data.photos import load_photo
from resnet.errors import DataError
from resnet.plurals import counted
from resnet.process_memory import available_bytes

NAMED = 5  # unreadable files that a notice names
LARGEST_SHARE = 0.8  # of the memory that is there, for images
COPIES = 2  # of each image: one that was read, one that TensorFlow takes batches of


def read_folder(folder, image_size, strict, held_out=()):
    """The Dataset of a folder; see `tree.find_tree` for what it may hold.

    The middle square of every image is resized to `image_size` pixels a side. What is unusual is
    said.

    Args:
      folder: path.
      image_size: pixels a side.
      strict: whether a file that cannot be read is an error; else it is left out, and said.
      held_out: as of `find_tree`.

    Raises:
      DataError: as `find_tree`; a file that cannot be read; a class of which none can; more
        images than memory holds.
    """
    tree = find_tree(folder, held_out)
    require_memory(folder, len(tree.train) + len(tree.test), image_size)
    sizes, bad = [], []
    train, test = (
        _read(files, image_size, title, sizes, bad)
        for files, title in ((tree.train, "training images"), (tree.test, "test images"))
    )
    if bad and strict:
        raise DataError(
            f"{counted(len(bad), 'file')} cannot be read, such as: {bad[0]}. Mend or remove them, "
            "or leave --strict out to train without them"
        )
    missing = set(range(len(tree.label_names))) - set(train.labels.tolist())
    if missing:
        names = ", ".join(tree.label_names[label] for label in sorted(missing))
        raise DataError(
            f"of {names} in {folder}, no training image can be read: {bad[0]}. Put images there, "
            "or take that folder away"
        )
    if not len(test):
        raise DataError(f"no test image in {folder} can be read: {bad[0]}")
    origin = "" if not tree.held_out else ", a fifth of each class held out"
    if held_out and tree.held_out:
        origin = ", those that were held out before"
    _say(folder, tree, train, test, origin, sizes, bad, image_size)
    return Dataset("folder", tree.label_names, train, test, tree.held_out)


def require_memory(name, num_images, image_size):
    """Checks that images fit into memory.

    Raises:
      DataError: they do not.
    """
    needed, there = COPIES * num_images * image_size**2 * 3, available_bytes()
    if there is not None and needed > LARGEST_SHARE * there:
        raise DataError(
            f"the {num_images:,} images of {name} take {needed / 1e9:.1f} GB of memory, and "
            f"{there / 1e9:.1f} GB are free: build shards of them with resnet build-imagenet, and "
            "train with resnet train-imagenet"
        )


def _read(files, image_size, title, sizes, bad):
    """The Split of [(path, label)]; adds to the original sizes, and to what cannot be read."""

    def read(path):
        try:
            return load_photo(path, image_size)
        except DataError as error:
            return error

    images = np.empty([len(files), image_size, image_size, 3], np.uint8)
    labels, count = np.empty(len(files), np.int32), 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(read, [path for path, _ in files])
        progress = tqdm(found, desc=title, total=len(files), unit=" images", delay=2)
        for one, (_, label) in zip(progress, files, strict=True):
            if isinstance(one, DataError):
                bad.append(str(one))
                continue
            (images[count], size), labels[count] = one, label
            sizes.append(size)
            count += 1
    return Split(images[:count], labels[:count])


def _say(folder, tree, train, test, origin, sizes, bad, image_size):
    """Prints what was read, and what a user may not expect."""
    images = (counted(len(train), "training image"), counted(len(test), "test image"))
    print(
        f"{folder}: {len(tree.label_names)} classes, {', '.join(images)}{origin}",
        flush=True,
    )
    others = [size for size in sizes if size != (image_size, image_size)]
    if others:
        small, large = min(others), max(others)
        span = "{}x{}".format(*small)
        span += "" if small == large else " to {}x{}".format(*large)
        print(
            f"notice: {counted(len(others), 'image')} of {span} pixels: the middle square of each "
            f"is resized to {image_size}x{image_size}",
            flush=True,
        )
    if bad:
        named = "; ".join(bad[:NAMED]) + ("; ..." if len(bad) > NAMED else "")
        left_out = f"{counted(len(bad), 'file')} left out (--strict ends)"
        print(f"notice: {left_out}: {named}", flush=True)
    untested = set(train.labels.tolist()) - set(test.labels.tolist())
    if untested:
        names = ", ".join(tree.label_names[label] for label in sorted(untested))
        print(f"notice: classes without test images: {names}", flush=True)
