"""Files that are either complete or not there: written beside, then renamed."""

import contextlib
import errno
import glob
import json
import os
import pathlib
import platform
import re
import shutil
from collections.abc import Iterator
from typing import Any

from resnet.errors import UserError, remedy_of

_WITHOUT_SYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)  # of folders on some mounts
# What `part_of` makes, of itself or of a file that TensorFlow writes beside it.
_PART = re.compile(r"\.(?P<host>[^@/]*)@(?P<pid>\d+)\.part(\.|$)")
# Errors of write(), which name no file; NumPy's tofile gives no number either.
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, None)


def is_plain_name(text: str, longest: int) -> bool:
    """Whether a text can be the name of a file or folder, and leads nowhere else.

    Args:
      text: str.
      longest: how many bytes it may have.
    """
    is_hidden = not text or text.startswith(".")
    is_one = text.isprintable() and not set(text) & set("/\\\0")
    return not is_hidden and is_one and len(os.fsencode(text)) <= longest


def printable(name: str) -> str:
    """A file's name as text that can be written and given to TensorFlow, also if not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def entries_of(folder: pathlib.Path) -> list[pathlib.Path]:
    """What a folder holds by its name, hidden things aside."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def files_below(
    folder: pathlib.Path, above: tuple[pathlib.Path, ...] = ()
) -> Iterator[pathlib.Path]:
    """Files of a folder and of those in it, hidden things aside.

    Args:
      folder: its links to folders are followed, unless they lead up, or into itself.
      above: other folders, resolved, into which no link is followed, either.
    """
    ways = (*above, folder.resolve())
    for path in entries_of(folder):
        if not path.is_dir():  # a link to nothing is a file that cannot be read
            yield path
        elif not (path.is_symlink() and any(_is_related(path.resolve(), one) for one in ways)):
            yield from files_below(path, ways)


def _is_related(path: pathlib.Path, other: pathlib.Path) -> bool:
    """Whether one of two folders is the other or in it."""
    return path.is_relative_to(other) or other.is_relative_to(path)


@contextlib.contextmanager
def written_beside(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary path next to `path`; renames it to `path` on success.

    Works for a file or a folder that the caller makes at the temporary path. On
    failure the temporary is removed and `path` is as it was. What a dead process has left of
    the same goes first.

    Raises:
      UserError: the disk is full or the folder cannot be written. Errors of other
        files, such as one that the caller reads, are left as they are.
    """
    path = pathlib.Path(path)
    temporary = part_of(path)
    is_callers = False  # whether it is the caller who may fail
    try:
        make_folder(path.parent)
        for leftover in path.parent.glob(f"{glob.escape(path.name)}.*@*.part*"):
            _remove_if_dead(leftover)
        is_callers = True
        yield temporary
        is_callers = False
        for written in [*temporary.rglob("*"), temporary]:  # of a file, itself
            sync(written)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        if is_callers and not _is_about(error, temporary):
            raise
        remedy = remedy_of(error) or "free some space, or choose another path"
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. "
            f"{remedy.capitalize()}; what was there is unchanged"
        ) from error
    finally:
        remove(temporary)


def part_of(path: str | os.PathLike[str]) -> pathlib.Path:
    """The place beside a path where this process writes it."""
    path = pathlib.Path(path)
    return path.with_name(f"{path.name}.{platform.node()}@{os.getpid()}.part")


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Removes what processes that are dead left half-written in a folder, or one below.

    Nothing that another process may be writing is touched: of other hosts' nothing is known.
    """
    for path in [*pathlib.Path(folder).glob("*.part*"), *pathlib.Path(folder).glob("*/*.part*")]:
        _remove_if_dead(path)


def _remove_if_dead(path: pathlib.Path) -> None:
    """Removes what was written beside, if it was on this host, by a process that is dead."""
    mark = _PART.search(path.name)
    if mark is None or not f".{mark['host']}".endswith(f".{platform.node()}"):
        return
    if not _is_running(int(mark["pid"])):
        remove(path)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid != os.getpid()


def _is_about(error: OSError, temporary: pathlib.Path) -> bool:
    """Whether an error is one of writing `temporary`, or a file in it."""
    names = [name for name in (error.filename, error.filename2) if name is not None]
    if not names:
        return error.errno in _OF_WRITING
    own, *named = (pathlib.Path(os.path.abspath(os.fsdecode(p))) for p in (temporary, *names))
    return any(own in (place, *place.parents) for place in named)


def make_folder(path: str | os.PathLike[str]) -> None:
    """Makes a folder, and those above it, if they are not there; a power cut leaves them."""
    path = pathlib.Path(path)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def sync(path: str | os.PathLike[str]) -> None:
    """Makes a file, or the names in a folder, outlast a power cut, where a disk can promise it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _WITHOUT_SYNC:
            raise
    finally:
        os.close(descriptor)


def remove(path: str | os.PathLike[str]) -> None:
    """Removes a file or folder if it is there."""
    path = pathlib.Path(path)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file, all or nothing; bytes of file names that are no text are escaped."""
    with written_beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Writes a JSON file, all or nothing."""
    write_text(path, json.dumps(content, indent=2) + "\n")
