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
from resnet.process_memory import address_space

LOADED_BYTES = 1_100_000_000  # of address space that TensorFlow takes once it is loaded, measured


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
      UserError: it is not installed, or memory does not suffice; says what to do.
    """
    if "tensorflow" in sys.modules:
        return
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(f"{sys.executable} lacks TensorFlow: {install_hint()}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # By itself, it takes oneDNN on newer processors alone, though others are faster with it, too.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    limit = address_space()
    if limit is not None and limit < LOADED_BYTES:  # its libraries may end the process otherwise
        raise _no_memory(f"this process may take {limit / 1e9:.2f} GB")
    try:
        with quietly():
            importlib.import_module("tensorflow")
    except MemoryError as error:
        raise _no_memory(str(error) or "none is left") from None
    except ImportError as error:
        if not any(text in str(error) for text in ("failed to map", "annot allocate memory")):
            raise
        raise _no_memory(str(error)) from None


def _no_memory(detail: str) -> UserError:
    return UserError(
        f"out of memory: TensorFlow needs {LOADED_BYTES / 1e9:.1f} GB to load, and a training a GB "
        f"and more beside ({detail}). End other processes, or raise the limit (ulimit -v)"
    )
