"""ImageNet's index: the classes by rank, and what each split was built of."""

import dataclasses
import pathlib

from resnet.data import layout
from resnet.errors import DataError


@dataclasses.dataclass(frozen=True)
class Index:
    """What is on record of a folder of shards.

    synsets: names of the classes; the first is label 1.
    splits: {split: {"plan", "shards", and once it is complete "images", "unreadable"}}.
    """

    synsets: tuple[str, ...] = ()
    splits: dict[str, dict] = dataclasses.field(default_factory=dict)


def read_index(folder: str | pathlib.Path) -> Index:
    """The Index of a folder that shards are built in.

    Raises:
      FileNotFoundError: there is none: nothing was built, or by another converter.
      DataError: it is damaged, or another data set's.
    """
    return _read(folder, "choose another --output_dir, or remove all of this one")


def known_index(folder: str | pathlib.Path) -> Index:
    """The Index of a folder's shards; empty where another converter made them.

    Raises:
      DataError: it is damaged, or another data set's.
    """
    try:
        return _read(folder, "build again, or remove it to read the shards without it")
    except FileNotFoundError:
        return Index()


def _read(folder, remedy):
    try:
        content = layout.read_index(folder, "synsets", "splits")
        synsets, splits = content["synsets"], content["splits"]
        if not isinstance(synsets, list) or not all(isinstance(name, str) for name in synsets):
            raise ValueError("its classes are no list of names")
        if not isinstance(splits, dict) or not all(isinstance(x, dict) for x in splits.values()):
            raise ValueError("its splits are none")
        return Index(tuple(synsets), splits)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(
            f"{pathlib.Path(folder) / layout.INDEX} is damaged, or another data set's ({error}): "
            + remedy
        ) from None


def write_index(folder: str | pathlib.Path, index: Index) -> None:
    """Writes an Index, all or nothing."""
    content = {"synsets": list(index.synsets), "splits": index.splits}
    layout.write_index(folder, content)
