"""Archives whose claims are looked at before they are believed: none fills memory or has no end."""

import contextlib
import io
import lzma
import os
import tarfile
import zlib

LARGEST_READ = 2**28  # bytes at once: a member, or a header that claims to be as long
LARGEST_UNPACKED = 2**33  # bytes of a packed archive
# What reading a damaged archive leads to.
TAR_ERRORS = (
    *(tarfile.TarError, EOFError, zlib.error, lzma.LZMAError),
    *(OSError, ValueError, OverflowError, MemoryError),
)


@contextlib.contextmanager
def open_tar(file, mode="r:*"):
    """Yields a tarfile.TarFile of an open file, of which `members_of` are read.

    Args:
      file: io.BufferedReader, at the archive's beginning.
      mode: of tarfile.open, to read.

    Raises:
      One of TAR_ERRORS.
    """
    with _Tar.open(fileobj=file, mode=mode) as archive:
        yield archive


def members_of(archive):
    """Yields the members of an archive of `open_tar` that are files, to its end.

    Raises:
      One of TAR_ERRORS.
    """
    for member in archive:
        if member.size < 0 or member.issparse():  # the next would be one of those before
            raise tarfile.ReadError(f"{member.name!r} claims to have {member.size:,} bytes")
        if member.isfile():
            yield member
    while archive.fileobj.read(2**20):  # to the end, where a packed one's checksum stands
        if archive.fileobj.tell() > archive.fileobj.limit:
            raise tarfile.ReadError(f"it has more than {LARGEST_UNPACKED:,} bytes")


class _Bounded:
    """What an archive is read from: unpacked, if it is packed."""

    def __init__(self, file):
        self._file, self.limit = file, LARGEST_UNPACKED
        if isinstance(file, io.BufferedReader):  # as it lies on disk
            self.limit = file.seek(0, os.SEEK_END)
            file.seek(0)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def read(self, size=-1):
        """As of a file; memory is taken for what is asked for, whatever there is."""
        if not 0 <= size <= LARGEST_READ:
            raise tarfile.ReadError(f"a member claims to have {size:,} bytes")
        return self._file.read(size)

    def seek(self, place, *whence):
        """As of a file; of a packed one, all up to there is unpacked."""
        if not 0 <= place <= self.limit:
            raise tarfile.ReadError(f"a member claims to lie at byte {place:,}")
        return self._file.seek(place, *whence)


class _Tar(tarfile.TarFile):
    @classmethod
    def taropen(cls, name, mode="r", fileobj=None, **options):
        """As of TarFile, which calls it with what unpacks a packed file."""
        return cls(name, mode, _Bounded(fileobj), **options)
