"""Errors that a user can mend: one line that names the thing, the value and the remedy."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import tensorflow as tf


class UserError(Exception):
    """Ends a script with one line on stderr and exit code 1, without a traceback."""

    exit_code = 1
    prefix = "error: "


class UsageError(UserError, ValueError):
    """As UserError, for flags, configs and arguments; exit code 2."""

    exit_code = 2


class DataError(UserError):
    """Data that is missing, truncated or corrupt."""


def exit_with(error: BaseException) -> NoReturn:
    """Prints "error: ..." as one line on stderr and exits with the error's code."""
    prefix = getattr(error, "prefix", UserError.prefix)
    print(prefix + " ".join(str(error).split()), file=sys.stderr)
    sys.exit(getattr(error, "exit_code", 1))


def message_of(op_error: tf.errors.OpError) -> str:
    """What a TensorFlow error says, in one line, without the names of its nodes."""
    text = op_error.message
    if text.startswith("Graph execution error:"):
        text = text.rpartition("\n\n")[2]  # what stands before says where in the code
    text = text.split("\n")[0].split(" [Op:")[0].rpartition("}} ")[2]
    return re.sub(r"Error in user-defined function .* with iterator: [\w:]+: ", "", text)
