"""What is known of a data set before any of it is read.

Nothing here loads TensorFlow or NumPy, so that commands can show what there is to choose from.
"""

import dataclasses
from collections.abc import Callable

# Names of preparations that settings.NetworkSettings explains, by what they are made for.
CIFAR_PREPROCESSORS = ("cifar", "cifar-standard", "cifar-unit", "cifar-grid")
IMAGENET_PREPROCESSORS = ("inception", "vgg")


@dataclasses.dataclass(frozen=True)
class Archive:
    """One published archive in CIFAR's layouts."""

    dataset: str
    layout: str  # "binary" or "python"
    file_name: str
    folder: str  # its top-level folder
    sha256: str
    train: tuple[str, ...]  # members
    test: tuple[str, ...]
    label_names: str  # member
    label_bytes: int = 1  # binary: before an image's pixels; the last one counts
    labels_key: bytes = b"labels"  # python: of a batch
    names_key: bytes = b"label_names"  # python: of the member with the labels' names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A data set by name.

    load: reads or opens it; imports what it needs when it is called.
    """

    name: str
    num_classes: int | None  # None: the config's own
    preprocessors: tuple[str, ...]  # configs' choices that go with its images
    load: Callable


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many classes a data set has, and training images, with those that may be held out."""

    num_classes: int | None
    num_training_images: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class InMemory(Entry):
    """A data set of small images that is read whole.

    load: (data folder) -> data.dataset.Dataset.
    num_training_images: how many, with those that --validation holds out.
    channels: means and deviations of red, green and blue over the training images, of 1;
      None: computed of them, and kept with the experiment.
    is_shuffled: whether its last training images are a sample of all, or perhaps of one class.
    site: base URL of its archives.
    archives: the one to try first first; none: it is not fetched.
    """

    preprocessors: tuple[str, ...] = CIFAR_PREPROCESSORS
    image_size: int | None = 32  # pixels a side; None: any
    num_training_images: int
    is_shuffled: bool = True
    channels: tuple[tuple[float, float, float], tuple[float, float, float]] | None
    site: str | None = None
    archives: tuple[Archive, ...] = ()

    def read(self, data_folder, image_size, strict, held_out):
        """The Dataset in a folder; the others count where images are of any size."""
        return self.load(data_folder)

    def counts(self, data_folder):
        """Its Counts."""
        return Counts(self.num_classes, self.num_training_images)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder(InMemory):
    """Images of any size, which are resized to the config's; what they are, the folder says.

    load: (data folder, pixels a side, whether an unreadable file is an error, names of the images
      that an earlier Dataset had held out) -> Dataset.
    inspect: (data folder) -> Counts, without reading images.
    """

    num_classes: int | None = None
    num_training_images: int = 0
    is_shuffled: bool = False  # class by class, mostly
    image_size: int | None = None
    channels: None = None
    inspect: Callable

    def read(self, data_folder, image_size, strict, held_out):
        """As `InMemory.read`."""
        return self.load(data_folder, image_size, strict, held_out)

    def counts(self, data_folder):
        """As `InMemory.counts`."""
        return self.inspect(data_folder)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Streamed(Entry):
    """A data set that is read while it is used; its images are cut to the config's size.

    classes: (folder) -> names of the classes; empty where they are not known.
    load: (folder, num_classes, splits) -> an open data set, which has `num_images(split)` and
      label_names.
    feed: (open data set, Config, deterministic) -> data.feed.Feed.
    evaluation_batches: (open data set, Config, split, batch size, number of images) ->
      tf.data.Dataset of (images, labels), filled up with images labelled -1.
    find_damage: (open data set, Config, split, TensorFlow's error) -> text: what of the split
      the error is of, read again one by one; None if that is not known.
    """

    num_classes: int | None = None
    classes: Callable = lambda folder: ()
    feed: Callable
    evaluation_batches: Callable
    find_damage: Callable = lambda data, config, split, error: None
