"""Where raw images lie: in class folders, in one folder, or in archives as published.

Nothing is extracted: an archive's members are listed once and read at their offset.
"""

import dataclasses
import io
import os
import pathlib
import stat

from resnet.data.tar import TAR_ERRORS, members_of, open_tar
from resnet.errors import DataError

SUFFIXES = (".jpeg", ".jpg", ".png")
LARGEST_BYTES = 2**28  # of an image's file


@dataclasses.dataclass(frozen=True)
class RawImage:
    """An image's name, its class, and where its bytes are."""

    name: str  # of its file
    folder: str  # class folder or class archive that it lies in; "" if in none
    path: str  # of the file, or of the archive that holds it
    offset: int = 0
    size: int = -1  # bytes; -1: to the file's end

    def read(self):
        """The encoded bytes.

        Raises:
          OSError: they cannot be read.
          DataError: it is no file, such as a pipe, which would be waited for; or larger than any
            image.
        """
        found = os.stat(self.path)
        if not stat.S_ISREG(found.st_mode):
            raise DataError("it is no file")
        size = self.size if self.size >= 0 else found.st_size
        if size > LARGEST_BYTES:
            raise DataError(f"{size:,} bytes are more than an image may have, {LARGEST_BYTES:,}")
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def __str__(self):
        return f"{self.path}: {self.name}" if self.size >= 0 else self.path


def list_images(place):
    """Images of a folder or an uncompressed .tar, with those one level down.

    Args:
      place: a folder of class folders or of images, or a .tar of the same, or of one
        .tar a class, as ILSVRC2012_img_train.tar is.

    Returns:
      RawImages in the order of (folder, name).

    Raises:
      DataError: not there, unreadable, or without images.
    """
    place = pathlib.Path(place)
    if place.is_dir():
        found = list(_of_folder(place))
    elif place.is_file():
        found = list(_of_archive(place))
    else:
        raise DataError(f"{place} does not exist: give a folder of images or a .tar of them")
    images = [image for image in found if image.name.lower().endswith(SUFFIXES)]
    if not images:
        raise DataError(
            f"{place} holds no images: none of its {len(found)} files, nor of those one level "
            f"down, ends in {', '.join(SUFFIXES)}"
        )
    return sorted(images, key=lambda image: (image.folder, image.name))


def _of_folder(place):
    for entry in os.scandir(place):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            for inner in os.scandir(entry.path):
                # A link to nothing is an image that cannot be read.
                if not inner.is_dir() and not inner.name.startswith("."):
                    yield RawImage(inner.name, entry.name, inner.path)
        else:
            yield RawImage(entry.name, "", entry.path)


def _of_archive(place):
    for member, offset in _members(place, 0, -1):
        path = pathlib.PurePosixPath(member.name)
        if path.suffix == ".tar":
            for inner, inner_offset in _members(place, offset, member.size):
                name = pathlib.PurePosixPath(inner.name).name
                yield RawImage(name, path.stem, str(place), inner_offset, inner.size)
        else:
            yield RawImage(path.name, path.parent.name, str(place), offset, member.size)


def _members(path, start, size):
    """(member, offset in the file) of the files in an archive at an offset of a file."""
    try:
        with open(path, "rb") as file:
            window = io.BufferedReader(_Window(file, start, size))
            with open_tar(window, "r:") as archive:
                for member in members_of(archive):
                    yield member, start + member.offset_data
    except TAR_ERRORS as error:
        raise DataError(
            f"{path} cannot be read ({error}): truncated, compressed or no archive. Give an "
            "uncompressed .tar, as published, or the folder it extracts to"
        ) from None


class _Window(io.RawIOBase):
    """Part of an open file, as a file."""

    def __init__(self, file, start, size):
        super().__init__()
        self._file, self._start, self._position = file, start, 0
        self._size = size if size >= 0 else os.fstat(file.fileno()).st_size - start

    def seekable(self):
        return True

    def readable(self):
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer):
        count = max(0, min(len(buffer), self._size - self._position))
        self._file.seek(self._start + self._position)
        content = self._file.read(count)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)
