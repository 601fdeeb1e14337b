"""Readers of the CIFAR archives as published, packed or extracted.

Nothing is extracted: members are read by name, so that no path in an archive is
ever followed. The Python archives are pickles; the unpickler here builds arrays
and plain containers and refuses anything else.
"""

import io
import pathlib
import pickle

import numpy as np
import six

from resnet.data.dataset import Dataset, Split
from resnet.data.registry import CIFAR
from resnet.data.tar import TAR_ERRORS, members_of, open_tar
from resnet.errors import DataError

IMAGE_SHAPE = (3, 32, 32)  # planes, as the archives have them
IMAGE_BYTES = 3072
MOST_MEMBERS = 1000  # those published have 9


def archives_of(dataset):
    """The archives of a data set, the one to try first first."""
    return CIFAR[dataset].archives


def find_archive(folder, dataset):
    """(Archive, path) of the data set in a folder, extracted or packed; None if absent."""
    folder = pathlib.Path(folder)
    for archive in archives_of(dataset):
        for path in (folder / archive.folder, folder / archive.file_name):
            if path.exists():
                return archive, path
    return None


def read_archive(archive, path):
    """Reads an archive, packed (.tar.gz) or as its extracted folder.

    Returns:
      Dataset.

    Raises:
      DataError: missing member, truncated or corrupt content, or a pickle that
        holds more than data.
    """
    members = _read_members(archive, pathlib.Path(path))
    read = _read_binary if archive.layout == "binary" else _read_python
    names = _label_names(archive, members[archive.label_names], path)

    def split(files):
        parts = [read(archive, members[name], f"{path}: {name}") for name in files]
        images = np.concatenate([images for images, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
            raise DataError(
                f"{path}: labels run from {labels.min()} to {labels.max()}, but there are "
                f"{len(names)} classes. Fetch the archive again"
            )
        planes = images.reshape(-1, *IMAGE_SHAPE)
        images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        return Split(images, labels.astype(np.int32))

    return Dataset(archive.dataset, names, split(archive.train), split(archive.test))


def _read_members(archive, path):
    """{member name: bytes} of the members that are needed."""
    wanted = {*archive.train, *archive.test, archive.label_names}
    try:
        if path.is_dir():
            there = [name for name in wanted if (path / name).is_file()]  # a pipe is waited for
            found = {name: (path / name).read_bytes() for name in there}
        else:
            found = {}
            with open(path, "rb") as file, open_tar(file) as tar:
                for count, member in enumerate(members_of(tar)):
                    if count >= MOST_MEMBERS:
                        raise ValueError(f"it has more than {MOST_MEMBERS:,} members")
                    name = member.name.removeprefix("./").removeprefix(archive.folder + "/")
                    if name in wanted:
                        found[name] = tar.extractfile(member).read()
    except TAR_ERRORS as error:
        raise DataError(
            f"{path} cannot be read ({error}): truncated or no archive. Fetch it again"
        ) from None
    missing = sorted(wanted - found.keys())
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}: truncated? Fetch it again")
    return found


def _label_names(archive, content, path):
    name = f"{path}: {archive.label_names}"
    try:
        if archive.layout == "binary":
            return tuple(line for line in content.decode("utf-8").split("\n") if line.strip())
        names = _unpickle(content, name)[archive.names_key]
        return tuple(six.ensure_str(label) for label in names)
    except (UnicodeDecodeError, KeyError, TypeError, AttributeError):
        raise DataError(f"{name} holds no label names. Fetch the archive again") from None


def _read_binary(archive, content, name):
    """Rows of label bytes, the last one what counts, then 3072 pixel bytes."""
    rows = np.frombuffer(content, np.uint8)
    width = archive.label_bytes + IMAGE_BYTES
    if len(rows) == 0 or len(rows) % width:
        raise DataError(f"{name} has {len(rows)} bytes, no multiple of {width}. Fetch it again")
    rows = rows.reshape(-1, width)
    return rows[:, archive.label_bytes :], rows[:, archive.label_bytes - 1]


def _read_python(archive, content, name):
    batch = _unpickle(content, name)
    try:
        images, labels = np.asarray(batch[b"data"]), np.asarray(batch[archive.labels_key])
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise TypeError("labels are no list of integers")
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DataError(f"{name} holds no CIFAR batch. Fetch the archive again") from None
    if images.dtype != np.uint8 or images.shape != (labels.size, IMAGE_BYTES):
        raise DataError(f"{name} has images of shape {images.shape}. Fetch the archive again")
    return images, labels


class _DataUnpickler(pickle.Unpickler):
    """Builds arrays and plain containers only; a pickle may otherwise run any code."""

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no data needs")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _unpickle(content, name):
    """What a pickle holds; a dict's keys as bytes, whichever Python wrote it."""
    try:
        found = _DataUnpickler(io.BytesIO(content), encoding="bytes").load()
        if isinstance(found, dict):
            found = {six.ensure_binary(key): value for key, value in found.items()}
        return found
    except Exception as error:
        raise DataError(f"{name} is refused: {error}. Fetch the archive again") from None
