"""Fixtures of the tests of models."""

import pytest
import tensorflow as tf

from resnet.training.steps import keep_order_of_sums


@pytest.fixture
def sums_as_written():
    keep_order_of_sums()
    yield
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": True})
