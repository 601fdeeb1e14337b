"""What a process sets for all of TensorFlow, so that a test's settings hold for no other."""

import contextlib
import sys


@contextlib.contextmanager
def defaults_afterwards():
    """Within it they may be changed; afterwards they are TensorFlow's own.

    Not those of before: what a fixture of a whole module sets would then hold for all tests
    that its process runs later.
    """
    try:
        yield
    finally:
        if tf := sys.modules.get("tensorflow"):
            if tf.config.functions_run_eagerly():
                tf.config.run_functions_eagerly(False)
            optimizer = tf.config.optimizer
            optimizer.set_experimental_options(dict.fromkeys(optimizer.get_experimental_options()))
