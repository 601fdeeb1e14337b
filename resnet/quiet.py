"""TensorFlow without what its native libraries print."""

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator

from resnet.errors import UserError
from resnet.hints import install_hint


@contextlib.contextmanager
def quietly() -> Iterator[None]:
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


def load_tensorflow() -> None:
    """Loads TensorFlow, which takes a second or two; starts no devices.

    Raises:
      UserError: it is not installed; says how to.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(f"{sys.executable} lacks TensorFlow: {install_hint()}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quietly():
        importlib.import_module("tensorflow")
