"""Bytes that TensorFlow's allocator holds at once: of tensors alone, and the same every time."""

import tensorflow as tf

CPU = "CPU:0"


def peak_bytes(function, *arguments):
    """The most that a compiled call takes beyond what is there before it; it runs twice.

    Small tensors, of less than 256 kB each, are not among them.
    """
    compiled = tf.function(function, autograph=False)
    compiled(*arguments)
    tf.config.experimental.reset_memory_stats(CPU)
    before = tf.config.experimental.get_memory_info(CPU)["current"]
    compiled(*arguments)
    return tf.config.experimental.get_memory_info(CPU)["peak"] - before
