"""Errors that a user can mend: one line that names the thing, the value and the remedy."""

from __future__ import annotations

import difflib
import errno
import re
import reprlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import tensorflow as tf


LONGEST = 1500  # characters of a line on stderr


class _Shown(reprlib.Repr):
    """A value as Python writes it, cut short: a file can make any value as long as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 32
        self.maxlevel, self.maxlong, self.maxstring, self.maxother = 3, 60, 200, 200

    def repr_int(self, x: int, level: int) -> str:
        """An integer; Python itself writes none of thousands of digits."""
        try:
            return super().repr_int(x, level)
        except ValueError:
            return f"an integer of {x.bit_length()} bits"


def shown(value: Any) -> str:
    """A value that somebody wrote, for a message: whole unless it is long."""
    return _Shown().repr(value)


def near(value: Any, known: Iterable[str]) -> str:
    """ "did you mean ...?", with the name among `known` that is nearest; "" where none is near.

    Nearest are those that begin as `value`, hyphens aside: resnet-20 may mean resnet20-v1.
    """
    known, bare = list(known), str(value).replace("-", "")
    close = [one for one in known if len(bare) > 3 and one.replace("-", "").startswith(bare)]
    close = close or difflib.get_close_matches(str(value), known, n=1)
    return f"did you mean {close[0]!r}?" if close else ""


class UserError(Exception):
    """Ends a script with one line on stderr and exit code 1, without a traceback."""

    exit_code = 1
    prefix = "error: "


class UsageError(UserError, ValueError):
    """As UserError, for flags, configs and arguments; exit code 2."""

    exit_code = 2


class DataError(UserError):
    """Data that is missing, truncated or corrupt."""


_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a file stands where a folder is wanted; give another path, or move it",
    errno.EEXIST: "a file stands where a folder is wanted; give another path, or move it",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTEMPTY: "move what is in it away, or give another path",
    errno.EACCES: "choose another path, or change who may read and write there",
    errno.EPERM: "choose another path, or change who may read and write there",
    errno.EROFS: "choose another path, on a disk that can be written",
    errno.ENAMETOOLONG: "shorten it",
    errno.ENOSPC: "free some space, or choose another path",
    errno.EDQUOT: "free some space, or choose another path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs, or raise the machine's limit of open files",
    errno.ENOMEM: "end other processes, or raise the limit of memory",
}


def remedy_of(error: OSError) -> str:
    """What can be done about what the operating system refuses; "" where nobody knows."""
    return _REMEDIES.get(error.errno or 0, "")


def of_system(error: OSError) -> UserError:
    """What the operating system refuses, and what can be done about it."""
    parts = [str(error.filename or ""), error.strerror or str(error), remedy_of(error)]
    return UserError(": ".join(filter(None, parts)))


def exit_with(error: BaseException) -> NoReturn:
    """Prints "error: ..." as one line on stderr and exits with the error's code."""
    print_error(error, getattr(error, "prefix", UserError.prefix))
    sys.exit(getattr(error, "exit_code", 1))


def print_error(error: object, prefix: str = UserError.prefix) -> None:
    """Prints "error: ..." as one line on stderr; of a long one, its start and its end."""
    line = " ".join(str(error).split())
    if len(line) > LONGEST:  # the remedy stands at the end
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    print(prefix + line, file=sys.stderr)


def message_of(op_error: tf.errors.OpError) -> str:
    """What a TensorFlow error says, in one line, without the names of its nodes."""
    text = op_error.message
    if text.startswith("Graph execution error:"):
        text = text.rpartition("\n\n")[2]  # what stands before says where in the code
    text = text.split("\n")[0].split(" [Op:")[0].rpartition("}} ")[2]
    return re.sub(r"Error in user-defined function .* with iterator: [\w:]+: ", "", text)
