"""Settings of TensorFlow do not pass from test to test."""

import tensorflow as tf

import tensorflow_settings
from resnet.training.steps import keep_order_of_sums


def read():
    return tf.config.functions_run_eagerly(), tf.config.optimizer.get_experimental_options()


def test_settings_are_as_before():
    before = read()
    with tensorflow_settings.kept():
        tf.config.run_functions_eagerly(True)
        keep_order_of_sums()
        assert read()[0] and read()[1]["arithmetic_optimization"] is False
    assert read() == before
    keep_order_of_sums()
    switched_off = read()
    with tensorflow_settings.kept():
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": True})
    assert read() == switched_off != before
