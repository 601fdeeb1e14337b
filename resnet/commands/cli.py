"""What every script does around its main function.

Import this before anything that imports TensorFlow: it loads TensorFlow quietly.
"""

import contextlib
import importlib
import os
import sys
import tempfile

from absl import flags

from resnet.errors import UsageError, UserError, exit_with, message_of


@contextlib.contextmanager
def quietly():
    """Keeps back what native libraries print on stderr, unless something fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except BaseException:
            chatter.seek(0)
            os.write(kept, chatter.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with quietly():
    importlib.import_module("tensorflow")


def run(main, starts_devices=True, positional=None):
    """Parses flags and runs `main`; errors that a user can mend end in one line.

    Args:
      main: function; what it returns is the exit code. Its arguments are the command
        line's positional ones, of which there must be as many as `positional` names.
      starts_devices: whether TensorFlow looks for its devices first; not if `main`
        chooses them.
      positional: names of the positional arguments; the last may end in "...": one or more.

    Exit codes: 0, 1 for bad data and the like, 2 for bad flags and configs.
    """
    try:
        arguments = _parse_flags()[1:]
        _check_positional(arguments, positional or ())
        if starts_devices:
            with quietly():
                sys.modules["tensorflow"].constant(0)
        code = main(*arguments)
    except UserError as error:
        exit_with(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        exit_with(UserError(f"{where}{error.strerror or error}"))
    except sys.modules["tensorflow"].errors.OpError as error:
        exit_with(UserError(message_of(error)))
    except KeyboardInterrupt:
        error = UserError("interrupted; what was saved before is complete")
        error.exit_code = 130
        exit_with(error)
    sys.exit(code)


def _check_positional(arguments, names):
    if len(arguments) < len(names):
        raise UsageError(f"{names[len(arguments)]} is missing: see --help")
    if len(arguments) > len(names) and not (names and names[-1].endswith("...")):
        extra = arguments[len(names)]
        raise UsageError(f"unexpected argument {extra!r}: flags start with --; see --help")


def _parse_flags():
    flags.FLAGS.set_gnu_getopt(True)
    if any(a in ("-h", "--help", "-help", "--helpshort", "-?") for a in sys.argv[1:]):
        module = sys.modules["__main__"]
        print((module.__doc__ or "").strip(), "\n\nflags:")
        for name in flags.FLAGS.flags_by_module_dict():
            if name == sys.argv[0] or name.startswith("resnet."):
                print(flags.FLAGS.module_help(name))
        sys.exit(0)
    try:
        return flags.FLAGS(sys.argv)
    except flags.Error as error:
        raise UsageError(f"{error}. See --help") from None
