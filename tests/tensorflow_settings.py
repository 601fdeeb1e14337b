"""What a process sets for all of TensorFlow, so that a test's settings hold for no other."""

import contextlib
import sys


def _read():
    """(whether functions run eagerly, options of the graph optimiser); None if not loaded."""
    tf = sys.modules.get("tensorflow")
    if not tf:
        return None
    return tf.config.functions_run_eagerly(), tf.config.optimizer.get_experimental_options()


@contextlib.contextmanager
def kept():
    """Within it they may be changed; afterwards they are as before."""
    before = _read()
    try:
        yield
    finally:
        after = _read()
        if after and after != before:
            tf = sys.modules["tensorflow"]
            eagerly, options = before or (False, {})
            tf.config.run_functions_eagerly(eagerly)
            tf.config.optimizer.set_experimental_options(dict.fromkeys(after[1]) | options)
