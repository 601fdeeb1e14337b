"""Data sets of tensorflow_datasets, by the name tfds:NAME, where that package is installed."""

import numpy as np
from tqdm import tqdm

from resnet.data.dataset import Dataset, Split
from resnet.data.folder.read import require_memory
from resnet.data.photos import resized
from resnet.errors import DataError, UsageError
from resnet.extras import load_extra

TESTS = ("test", "validation")
HELD_OUT = ("train[:80%]", "train[80%:]")  # where there is neither


def open_tfds(name):
    """The builder of a data set of images with one class each.

    Args:
      name: TFDS' own, such as "eurosat" or "name/config:1.0.0".

    Raises:
      UserError: the package is not installed.
      UsageError: no such data set, or not one of images and classes.
    """
    tfds = load_extra("tensorflow_datasets")
    try:
        builder = tfds.builder(name)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        first, *_ = str(error).splitlines()
        raise UsageError(f"tensorflow_datasets has no {name!r}: {first}") from None
    _, label = _keys(builder, name)
    if not isinstance(builder.info.features[label], tfds.features.ClassLabel):
        raise UsageError(f"tfds:{name} has no classes: {label!r} is no label of one")
    return builder


def _keys(builder, name):
    keys = builder.info.supervised_keys
    if not keys or len(keys) != 2:
        raise UsageError(f"tfds:{name} does not say what is the image and what the class of it")
    return keys


def counts_of(name):
    """(number of classes, of training images), without the images where TFDS knows."""
    builder = open_tfds(name)
    if "train" not in builder.info.splits:
        _fetch(builder, name)
    train, _ = _splits(builder, name)
    label = builder.info.features[_keys(builder, name)[1]]
    return label.num_classes, builder.info.splits[train].num_examples


def load_tfds(name, image_size):
    """The Dataset; it is downloaded to TFDS' own folder (TFDS_DATA_DIR), if it is not there.

    Args:
      name: as of `open_tfds`.
      image_size: pixels a side, to which the middle square of each image is resized.

    Raises:
      DataError: it cannot be fetched, or is larger than memory.
    """
    builder = open_tfds(name)
    _fetch(builder, name)
    splits = _splits(builder, name)
    counts = [builder.info.splits[split].num_examples for split in splits]
    require_memory(f"tfds:{name}", sum(counts), image_size)
    names = tuple(builder.info.features[_keys(builder, name)[1]].names)
    train, test = (
        _read(builder, f"tfds:{name}", len(names), *one, image_size)
        for one in zip(splits, counts, strict=True)
    )
    print(
        f"tfds:{name}: {len(names)} classes, {len(train):,} training images, "
        f"{len(test):,} test images ({splits[1]}), resized to {image_size}x{image_size}",
        flush=True,
    )
    return Dataset(f"tfds:{name}", names, train, test)


def _fetch(builder, name):
    try:
        builder.download_and_prepare()
    except Exception as error:  # whatever its downloads raise
        raise DataError(
            f"tfds:{name} cannot be fetched to {builder.data_dir}: {type(error).__name__}: {error}"
        ) from None


def _splits(builder, name):
    """(training split, test split), as TFDS writes them."""
    found = builder.info.splits
    if "train" not in found:
        raise UsageError(f"tfds:{name} has no split 'train', but {', '.join(found)}")
    return next((("train", test) for test in TESTS if test in found), HELD_OUT)


def _read(builder, name, num_classes, split, count, image_size):
    images = np.empty([count, image_size, image_size, 3], np.uint8)
    labels = np.empty(count, np.int32)
    pairs = builder.as_dataset(split=split, as_supervised=True).as_numpy_iterator()
    for i, (image, label) in enumerate(tqdm(pairs, desc=split, total=count, delay=2)):
        if not 0 <= label < num_classes:
            raise DataError(f"{name}: the class of image {i} of {split} is {label}: it has none")
        try:
            images[i], labels[i] = resized(image, image_size), label
        except DataError as error:
            raise DataError(f"{name}, image {i} of {split}: {error}") from None
    return Split(images, labels)
