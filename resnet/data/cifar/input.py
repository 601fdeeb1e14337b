"""Small data sets by name, wherever they are on disk, and what trains and evaluates on them."""

import dataclasses
import functools
import pathlib
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from resnet.configs import Config
from resnet.data.cifar.archives import find_archive, read_archive
from resnet.data.cifar.pipeline import (
    channels_of,
    evaluation_batches,
    mean_image,
    training_batches,
    training_indices,
)
from resnet.data.cifar.preparation import CHANNELS, MEAN_IMAGE, prepare_for
from resnet.data.cifar.records import has_records, read_records
from resnet.data.dataset import Dataset, Split
from resnet.data.feed import Feed
from resnet.data.registry import CIFAR, CIFAR_CHOICES
from resnet.errors import DataError, UsageError
from resnet.hints import build_hint
from resnet.plurals import counted

DOWNLOADS = "downloads"  # folder of fetched archives, below the data folder
ONE_HELD_OUT_IN = 10  # training images, with a validation split


def load_dataset(
    name: str,
    data_folder: str | pathlib.Path,
    image_size: int = 32,
    strict: bool = False,
    held_out: Sequence[str] = (),
) -> Dataset:
    """Loads a data set into memory.

    Args:
      name: "cifar-10", "cifar-100", "synthetic", which needs no files, or another of
        registry.CIFAR.
      data_folder: holds TFRecords as NAME/, or the published archives, packed or
        extracted, in itself or in downloads/; of "folder", class folders.
      image_size, strict: of "folder": pixels a side that images are resized to; whether a file
        that cannot be read is an error.
      held_out: of "folder": `Dataset.held_out` of an earlier one, to divide the images alike.

    Returns:
      Dataset. Test images that may lie class by class come in an order that their pixels
      decide, so that the first of them are a sample of all.

    Raises:
      UsageError: unknown name.
      DataError: not there, or damaged.
    """
    if name not in CIFAR:
        raise UsageError(f"unknown dataset {name!r}: choose one of {', '.join(CIFAR_CHOICES)}")
    entry = CIFAR[name]
    dataset = entry.read(data_folder, image_size, strict, held_out)
    return dataset if entry.is_shuffled else dataclasses.replace(dataset, test=mixed(dataset.test))


def load_built(name: str, data_folder: str | pathlib.Path) -> Dataset:
    """Loads a data set that has archives; see `load_dataset`."""
    folder = pathlib.Path(data_folder)
    if has_records(folder / name):
        dataset = read_records(folder / name)
        if dataset.name != name:
            raise DataError(
                f"{folder / name} holds {dataset.name}, not {name}: move it to its own name, and "
                f"run {build_hint(name, folder)}"
            )
        return dataset
    return read_archive(*_archive_in(folder, name))


def require_built(name: str, data_folder: str | pathlib.Path) -> None:
    """Checks that a data set that has archives is there, unread.

    Raises:
      DataError: it is not.
    """
    folder = pathlib.Path(data_folder)
    if not has_records(folder / name):
        _archive_in(folder, name)


def _archive_in(folder: pathlib.Path, name: str) -> tuple:
    """(Archive, path) of a data set."""
    found = find_archive(folder, name) or find_archive(folder / DOWNLOADS, name)
    if found:
        return found
    raise DataError(
        f"{name} is not in {str(folder)!r}: run {build_hint(name, folder)}, give its place "
        "with --data_folder, or try --dataset synthetic, which needs no files"
    )


def num_held_out(num_images: int) -> int:
    """How many of the training images a validation split is."""
    return num_images // ONE_HELD_OUT_IN


def training_and_evaluation(dataset: Dataset, validation: bool) -> tuple[Split, Split]:
    """(training split, split to evaluate during training).

    With `validation`, a tenth of the training images is held out: the last one (CIFAR:
    45,000 / 5,000) or, where images may lie class by class, that of `held_out_of`. Without,
    everything trains and the test split is evaluated.

    Raises:
      DataError: there are too few images to hold one out.
    """
    train = dataset.train
    if not validation:
        return train, dataset.test
    count = num_held_out(len(train))
    if not count:
        raise DataError(
            f"{dataset.name} has {counted(len(train), 'training image')}, and --validation needs "
            f"{ONE_HELD_OUT_IN} or more: leave it out, or add images"
        )
    if CIFAR[dataset.name].is_shuffled:
        return train.take(slice(-count)), train.take(slice(-count, None))
    is_held_out = held_out_of(train, count)
    return train.take(~is_held_out), mixed(train.take(is_held_out))


def mixed(split: Split) -> Split:
    """The split in an order that looks random, and that its images' pixels alone decide."""
    return split.take(np.argsort(_draws(split), kind="stable"))


def _draws(split: Split) -> np.ndarray:
    """A number for each image, (N,), as if drawn by chance: of its pixels alone."""
    return np.array([zlib.crc32(image.tobytes()) for image in split.images])


def held_out_of(split: Split, count: int) -> np.ndarray:
    """Which images are held out, (N,) bool: of each class the same share, to within an image.

    Which ones of a class, their pixels decide alone: neither the order of images nor, but for
    a few, what is added later.
    """
    order = np.lexsort((_draws(split), split.labels))  # class by class
    sizes = np.bincount(split.labels)
    starts = np.cumsum(sizes) - sizes
    labels = split.labels[order]
    places = (np.arange(len(split)) - starts[labels] + 0.5) / sizes[labels]  # in a class, of 1
    is_held_out = np.zeros(len(split), bool)
    is_held_out[order[np.argsort(places, kind="stable")[:count]]] = True
    return is_held_out


def cifar_feed(
    dataset: Dataset,
    validation: bool,
    config: Config,
    keep: Callable = lambda name, compute: compute(),
) -> Feed:
    """Feed of a data set in memory.

    Args:
      dataset: Dataset.
      validation: whether a tenth of the training images is held out.
      config: Config, for the preprocessor, batch sizes and seed.
      keep: (name, function that computes an array of the images that train) -> that array, or
        the one of this name that was kept when it was first computed.
    """
    train, held_out = training_and_evaluation(dataset, validation)
    compute = {MEAN_IMAGE: mean_image, CHANNELS: channels_of}
    preparation = prepare_for(
        config.preprocessor, dataset.name, lambda name: keep(name, lambda: compute[name](train))
    )
    splits = {"validation": held_out} if validation else {}
    splits["test"] = dataset.test
    return Feed(
        functools.partial(training_batches, train, preparation, config),
        {
            name: functools.partial(
                evaluation_batches, split, preparation, config.evaluation_batch_size
            )
            for name, split in splits.items()
        },
        indices=lambda step, share: (
            training_indices(step, share.step_size, len(train), config.seed).numpy().tolist()
        ),
    )
