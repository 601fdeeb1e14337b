"""Trains a Flow on two replicas and on one; see test_flows.py."""

import keras
import numpy as np
import tensorflow as tf

from resnet import reversible

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
POINTS = np.random.default_rng(0).standard_normal([16, 4]).astype("float32")


def net():
    regularizer = keras.regularizers.L2(0.01)
    return keras.Sequential([keras.layers.Dense(4, kernel_regularizer=regularizer)])


def trained(strategy):
    """(loss, evaluation, weights) of a step of plain gradient descent."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        flow = reversible.Flow([[(net(), net())]], downsampling=None)
        flow.compile(keras.optimizers.SGD(0.1))
    loss = flow.fit(POINTS, batch_size=16, verbose=0).history["loss"]
    return [loss, flow.evaluate(POINTS, batch_size=16, verbose=0), *flow.get_weights()]


one, two = (
    trained(tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(count)])) for count in (1, 2)
)
for got, wanted in zip(two, one, strict=True):
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
print("the same training")
