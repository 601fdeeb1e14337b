"""CIFAR as TFRecords: one folder a data set, complete once its index is there."""

import errno
import math
import pathlib

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from resnet.data.dataset import Dataset, Split
from resnet.data.layout import INDEX, read_index, shard_name, write_index
from resnet.errors import DataError, message_of
from resnet.files import written_beside
from resnet.hints import build_hint

IMAGE_SHAPE = (32, 32, 3)
IMAGES_PER_SHARD = 10_000


def write_records(dataset, folder):
    """Writes a data set as TFRecord shards and an index, all or nothing.

    Each record is a tf.train.Example with image/raw (height * width * 3 bytes),
    image/height, image/width and image/class/label (from 0).

    Args:
      dataset: Dataset.
      folder: where to; must not exist yet.
    """
    with written_beside(folder) as temporary:
        temporary.mkdir()
        index = {"name": dataset.name, "label_names": list(dataset.label_names), "splits": {}}
        for name, split in (("train", dataset.train), ("test", dataset.test)):
            num_shards = max(1, round(len(split) / IMAGES_PER_SHARD))
            files = [shard_name(name, i, num_shards) for i in range(num_shards)]
            parts = np.array_split(np.arange(len(split)), num_shards)
            progress = tqdm(total=len(split), desc=f"{dataset.name} {name}", unit=" images")
            for file, part in zip(files, parts, strict=True):
                _write_shard(temporary / file, split, part)
                progress.update(len(part))
            progress.close()
            index["splits"][name] = {
                "images": len(split),
                "shape": list(split.images.shape[1:]),
                "files": files,
            }
        write_index(temporary, index)


def _write_shard(path, split, indices):
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for i in indices:
                writer.write(_example(split.images[i], split.labels[i]))
    except tf.errors.OpError as error:
        # written_beside says which folder, and what to do.
        raise OSError(errno.EIO, error.message, str(path)) from None


def _example(image, label):
    def integers(value):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    raw = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()]))
    features = {
        "image/raw": raw,
        "image/height": integers(image.shape[0]),
        "image/width": integers(image.shape[1]),
        "image/class/label": integers(int(label)),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def has_records(folder):
    """Whether a folder holds a complete data set."""
    return (pathlib.Path(folder) / INDEX).is_file()


def read_records(folder):
    """Reads a whole data set into memory.

    Args:
      folder: as `write_records` made it.

    Returns:
      Dataset.

    Raises:
      DataError: missing, truncated or corrupt shards or index.
    """
    folder = pathlib.Path(folder)
    try:
        index = read_index(folder, "name", "label_names", "splits")
        names = index["label_names"]
        if not isinstance(names, list) or not all(
            isinstance(t, str) for t in [*names, index["name"]]
        ):
            raise ValueError("names in it are no texts")
        names = tuple(names)
        splits = [_read_split(folder, index["splits"][name], names) for name in ("train", "test")]
        return Dataset(index["name"], names, *splits)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / INDEX} is damaged ({error}). {_remedy(folder)}") from None


def _read_split(folder, entry, label_names):
    shape = tuple(entry["shape"])
    if shape != IMAGE_SHAPE:
        raise ValueError(f"images of shape {shape}, which are {IMAGE_SHAPE}")
    files = [str(file) for file in entry["files"]]
    if any(pathlib.PurePath(file).name != file for file in files):
        raise ValueError("shards of other folders")
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise DataError(f"{folder / missing[0]} is missing. {_remedy(folder)}")
    size = sum((folder / file).stat().st_size for file in files)
    if not 0 <= entry["images"] * math.prod(shape) <= size:
        raise DataError(
            f"{folder / ', '.join(files)}: {size} bytes cannot hold {entry['images']} images. "
            f"{_remedy(folder)}"
        )
    features = {
        "image/raw": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }

    @tf.autograph.experimental.do_not_convert
    def parse(records):
        parsed = tf.io.parse_example(records, features)
        images = tf.io.decode_raw(parsed["image/raw"], tf.uint8, fixed_length=math.prod(shape))
        return images, tf.cast(parsed["image/class/label"], tf.int32)

    images = np.empty((entry["images"], *shape), np.uint8)
    labels = np.empty(entry["images"], np.int32)
    count = 0
    for file in files:
        # Some 3 MB a batch: parsing is vectorised, and memory is not doubled.
        records = tf.data.TFRecordDataset(str(folder / file)).batch(1000).map(parse)
        try:
            for batch, batch_labels in records.as_numpy_iterator():
                if count + len(batch) <= len(images):
                    images[count : count + len(batch)] = batch.reshape(-1, *shape)
                    labels[count : count + len(batch)] = batch_labels
                count += len(batch)
        except tf.errors.OpError as error:
            detail = message_of(error)
            raise DataError(
                f"{folder / file} cannot be read: {detail}. {_remedy(folder)}"
            ) from None
    if count != len(images):
        raise DataError(f"{folder} has {count} images of {len(images)}. {_remedy(folder)}")
    if count and not 0 <= labels.min() <= labels.max() < len(label_names):
        raise DataError(
            f"{folder} has labels from {labels.min()} to {labels.max()}, but "
            f"{len(label_names)} classes. {_remedy(folder)}"
        )
    return Split(images, labels)


def _remedy(folder):
    return f"Remove {folder} and run {build_hint(folder.name, folder.parent)} again"
