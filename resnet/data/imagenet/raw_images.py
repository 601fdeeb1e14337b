"""Where raw images lie: in class folders, in one folder, or in archives as published.

Nothing is extracted: an archive's members are listed once and read at their offset.
"""

import dataclasses
import io
import os
import pathlib
import stat

from resnet.data.photos import ENDINGS
from resnet.data.tar import TAR_ERRORS, members_of, open_tar
from resnet.errors import DataError
from resnet.files import entries_of, files_below, printable

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


def list_images(place, is_training=False):
    """Images of a folder or an uncompressed .tar; what else is there is counted and named.

    Args:
      place: a folder of class folders, of images, or of one .tar a class; or a .tar of the same,
        as ILSVRC2012_img_train.tar is. A class folder's own folders count for it; in a .tar,
        an image's class is the folder that it lies in.
      is_training: whether each class folder must have an image, for labels count them.

    Returns:
      RawImages in the order of (folder, name).

    Raises:
      DataError: not there, unreadable, or without images, or one of its class folders is;
        folders of splits in place of classes; folders within the classes of a .tar.
    """
    place = pathlib.Path(place)
    if place.is_dir():
        found = list(_of_folder(place))
    elif place.is_file():
        found = list(_of_archive(place))
    else:
        raise DataError(f"{place} does not exist: give a folder of images or a .tar of them")
    images = [image for image in found if image.name.lower().endswith(ENDINGS)]
    if not images:
        raise DataError(
            f"{place} holds no images: none of its {len(found)} files ends in {', '.join(ENDINGS)}"
        )
    in_classes = {image.folder for image in images} - {""}
    if "train" in in_classes and in_classes & {"val", "validation"}:
        raise DataError(f"{place} holds splits, not classes: give {place / 'train'}")
    if is_training and in_classes and (empty := _class_names(place) - in_classes):
        raise DataError(
            f"{place} has {len(empty)} class folders without images ({', '.join(ENDINGS)}), such "
            f"as {min(empty)}: fill or remove them"
        )
    if others := [file for file in found if not file.name.lower().endswith(ENDINGS)]:
        print(
            f"notice: {len(others):,} files of {place} are left out, for they do not end in "
            f"{', '.join(ENDINGS)}, such as {others[0]}",
            flush=True,
        )
    return sorted(images, key=lambda image: (image.folder, image.name))


def _class_names(place):
    """Names of the class folders and class archives in a folder."""
    if not place.is_dir():
        return set()
    entries = entries_of(place)
    archives = {path.stem for path in entries} if _are_archives(entries) else set()
    return {printable(name) for name in archives | {p.name for p in entries if p.is_dir()}}


def _is_tar(path):
    return path.suffix == ".tar"


def _are_archives(entries):
    """Whether a folder holds class archives alone: beside images, one holds the same again."""
    return all(_is_tar(path) and path.is_file() for path in entries)


def _of_folder(place):
    entries = entries_of(place)
    if _are_archives(entries):
        for path in entries:
            yield from _of_class_archive(path, path.stem)
        return
    for path in entries:
        if path.is_dir():
            name = printable(path.name)
            for inner in files_below(path):
                yield RawImage(inner.name, name, str(inner))
        else:
            yield RawImage(path.name, "", str(path))


def _of_archive(place):
    folders = {}  # name of a class folder -> its path
    for member, offset in _members(place, 0, -1):
        path = pathlib.PurePosixPath(member.name)
        if path.name.startswith(".") or path.parent.name.startswith("."):
            continue
        if folders.setdefault(path.parent.name, path.parent) != path.parent:
            raise DataError(
                f"{place} has folders within its class folders, such as {path.parent}: extract it, "
                "and give the folder"
            )
        if _is_tar(path):
            yield from _of_class_archive(place, path.stem, offset, member.size)
        else:
            name = printable(path.parent.name)
            yield RawImage(path.name, name, str(place), offset, member.size)


def _of_class_archive(place, name, start=0, size=-1):
    name = printable(name)
    for member, offset in _members(place, start, size):
        file = pathlib.PurePosixPath(member.name).name
        if file.startswith("."):
            continue
        yield RawImage(file, name, str(place), offset, member.size)


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
