"""Settings of TensorFlow do not pass from test to test."""

import tensorflow as tf

from resnet.training.steps import keep_order_of_sums
from tensorflow_settings import defaults_afterwards


def read():
    return tf.config.functions_run_eagerly(), tf.config.optimizer.get_experimental_options()


def test_settings_are_tensorflows_own_afterwards():
    with defaults_afterwards():
        pass
    own = read()
    assert own[0] is False and "arithmetic_optimization" not in own[1]
    with defaults_afterwards():
        tf.config.run_functions_eagerly(True)
        keep_order_of_sums()
        assert read()[0] and read()[1]["arithmetic_optimization"] is False
    assert read() == own
