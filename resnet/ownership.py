"""One process at a time works in a folder: a lock that the kernel ends with its process.

It is a file beside the folder, PARENT/.locks/NAME, which names its holder. Whether it counts is
the kernel's word (flock, on shared storage too), not the file's: what a dead process has left
holds nobody up.
"""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import platform
from collections.abc import Iterator
from typing import IO

from resnet.errors import UsageError, UserError, remedy_of
from resnet.files import make_folder

LOCKS = ".locks"
TRIES = 100
_WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # of some shared storage


class InUseError(UsageError):
    """Another process works there."""


@contextlib.contextmanager
def owned(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Within it, no other process owns the folder.

    Args:
      folder: path; it need not be there.

    Raises:
      InUseError: another process does; says which, since when, and what to do.
      UserError: the lock cannot be written.
    """
    path = _lock_of(folder)
    try:
        file = _locked(path, folder)
        file.truncate(0)
        now = datetime.datetime.now().isoformat(timespec="seconds")
        json.dump({"host": platform.node(), "pid": os.getpid(), "since": now}, file)
        file.flush()
    except OSError as error:
        remedy = remedy_of(error) or "choose another path"
        raise UserError(f"cannot write {path}: {error.strerror}. {remedy.capitalize()}") from None
    try:
        yield
    finally:
        # Still held: whoever has opened it meanwhile sees that it is no longer in its place.
        path.unlink(missing_ok=True)
        file.close()
        with contextlib.suppress(OSError):  # others stand there
            path.parent.rmdir()


def is_owned(folder: str | os.PathLike[str]) -> bool:
    """Whether another process owns a folder."""
    try:
        with open(_lock_of(folder), encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock_of(folder: str | os.PathLike[str]) -> pathlib.Path:
    folder = pathlib.Path(folder).absolute()
    if folder.exists():  # links to a folder are that folder
        folder = folder.resolve()
    return folder.parent / LOCKS / folder.name


def _locked(path: pathlib.Path, folder: str | os.PathLike[str]) -> IO[str]:
    """The file of a folder's lock, open and held."""
    while True:
        file = _opened(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                raise InUseError(_in_use(folder, file)) from None
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                file.close()
                raise
            print(f"notice: no locks on {path.parent}: start nothing there twice", flush=True)
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()  # its holder has ended and taken it away


def _opened(path: pathlib.Path) -> IO[str]:
    for _ in range(TRIES):  # its folder may go with another's lock meanwhile
        try:
            make_folder(path.parent)
            return open(path, "a+", encoding="utf-8")
        except (FileNotFoundError, FileExistsError) as error:
            failure = error
    raise failure


def _in_use(folder: str | os.PathLike[str], file: IO[str]) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        by = f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        by = "another process"
    return f"{folder} is in use by {by}: wait for it or stop it, or choose another name"
