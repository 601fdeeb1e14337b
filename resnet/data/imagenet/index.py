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
    """The Index of a folder.

    Raises:
      FileNotFoundError: there is none: nothing was built, or by another converter.
      DataError: it is damaged, or another data set's.
    """
    try:
        content = layout.read_index(folder, "synsets", "splits")
        return Index(tuple(content["synsets"]), dict(content["splits"]))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{pathlib.Path(folder) / layout.INDEX} is damaged, or another data set's ({error}): "
            "choose another --output_dir, or remove all of this one"
        ) from None


def class_names(folder: str | pathlib.Path) -> tuple[str, ...]:
    """Names of the classes of a folder's shards; empty where another converter made them."""
    try:
        return read_index(folder).synsets
    except (FileNotFoundError, DataError):
        return ()


def write_index(folder: str | pathlib.Path, index: Index) -> None:
    """Writes an Index, all or nothing."""
    content = {"synsets": list(index.synsets), "splits": index.splits}
    layout.write_index(folder, content)
