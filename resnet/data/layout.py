"""Names of the files that a built data set consists of: its index and its shards."""

import json
import pathlib
import re
import zlib

from resnet.files import write_json

CHECKSUM = "crc32"  # of the index's other entries
INDEX = "dataset.json"  # written last: with it, what it lists is complete


def read_index(folder: str | pathlib.Path, *keys: str) -> dict:
    """The index of a data set, a dict that has `keys`.

    Raises:
      FileNotFoundError: there is none.
      OSError or ValueError: it cannot be read, or is no such index.
    """
    try:
        index = json.loads((pathlib.Path(folder) / INDEX).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(error) from None
    if isinstance(index, dict) and CHECKSUM in index and index[CHECKSUM] != _checksum(index):
        raise ValueError("its checksum is another")
    missing = [key for key in keys if key not in index] if isinstance(index, dict) else keys
    if missing:
        raise ValueError(f"no {', '.join(missing)}")
    return index


def write_index(folder: str | pathlib.Path, index: dict) -> None:
    """Writes the index of a data set, with a checksum, all or nothing."""
    write_json(pathlib.Path(folder) / INDEX, index | {CHECKSUM: _checksum(index)})


def _checksum(index: dict) -> int:
    rest = {key: value for key, value in index.items() if key != CHECKSUM}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def shard_name(split: str, index: int, num_shards: int) -> str:
    """Name of a shard's file, such as train-00000-of-01024."""
    return f"{split}-{index:05d}-of-{num_shards:05d}"


def list_shards(folder: str | pathlib.Path, split: str) -> list[tuple[int, int]]:
    """[(index, number of shards)] of the files in a folder that are named like shards."""
    form = re.compile(rf"{re.escape(split)}-(\d{{5}})-of-(\d{{5}})")
    names = [path.name for path in pathlib.Path(folder).glob(f"{split}-*")]
    matches = [match for name in names if (match := form.fullmatch(name))]
    return [(int(match[1]), int(match[2])) for match in matches]
