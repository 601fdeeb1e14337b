"""TFRecord files split over shards, NAME-00000-of-01024 and so on."""

import concurrent.futures
import dataclasses
import pathlib
import struct

from resnet.data.layout import list_shards, shard_name
from resnet.errors import DataError
from resnet.hints import imagenet_hint

_LENGTH = struct.Struct("<Q")
_HEADER_BYTES = _LENGTH.size + 4  # the length and its checksum
_FOOTER_BYTES = 4  # checksum of the content
NUM_SHARDS = {"train": 1024, "validation": 128}  # of ImageNet, as everyone's
READERS = 16  # files looked at in parallel; they wait for the disk


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file and how many records it holds."""

    path: str
    num_records: int


def find_shards(folder, split):
    """The shards of a split, each counted.

    Returns:
      Shards in the order of their index.

    Raises:
      DataError: none, some missing, of several builds, damaged, or without records.
    """
    folder = pathlib.Path(folder)
    found = list_shards(folder, split)
    if not found:
        raise DataError(
            f"no {split} shards ({split}-00000-of-..... and so on) in {str(folder)!r}: make them "
            f"with {imagenet_hint()}, or give their folder with --data_dir"
        )
    totals = sorted({total for _, total in found})
    if len(totals) > 1:
        raise DataError(
            f"{folder} holds {split} shards of several builds, "
            f"{' and '.join(f'-of-{total:05d}' for total in totals)}: remove all but one build"
        )
    missing = sorted(set(range(totals[0])) - {index for index, _ in found})
    if missing:
        raise DataError(
            f"{folder} lacks {len(missing)} of {totals[0]} {split} shards, such as "
            f"{shard_name(split, missing[0], totals[0])}: build again, what is there is kept"
        )
    paths = [str(folder / shard_name(split, i, totals[0])) for i in range(totals[0])]
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        shards = list(pool.map(lambda path: Shard(path, count_records(path)), paths))
    for shard in shards:
        if not shard.num_records:
            raise DataError(f"shard {shard.path} holds no records: remove it and build again")
    return shards


def count_records(path):
    """Number of records in a TFRecord file; reads their lengths alone.

    Raises:
      DataError: its records do not end where it ends.
    """
    size, position, count = pathlib.Path(path).stat().st_size, 0, 0
    with open(path, "rb", buffering=0) as file:
        while position < size:
            file.seek(position)
            header = file.read(_HEADER_BYTES)
            if len(header) == _HEADER_BYTES:
                position += _HEADER_BYTES + _LENGTH.unpack_from(header)[0] + _FOOTER_BYTES
            if len(header) < _HEADER_BYTES or position > size:
                raise DataError(
                    f"shard {path} is damaged: record {count} does not end within its {size} "
                    "bytes. Remove it and build again"
                )
            count += 1
    return count


def first_record(path):
    """The first record of a TFRecord file, bytes."""
    with open(path, "rb") as file:
        (length,) = _LENGTH.unpack_from(file.read(_HEADER_BYTES))
        return file.read(length)
