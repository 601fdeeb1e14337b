"""Trains a Sequence on two replicas with every backprop; see test_sequence_layer.py."""

import keras
import numpy as np
import tensorflow as tf

from resnet import reversible

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
assert strategy.num_replicas_in_sync == 2


def half():
    return keras.Sequential(
        [
            keras.layers.BatchNormalization(),
            keras.layers.Dense(4, "tanh"),
            keras.layers.Dropout(0.2),
        ]
    )


def trained(backprop):
    """{path: value} of every weight and state after training."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        layer = reversible.Sequence(
            [(half(), half()) for _ in range(3)], exact=True, backprop=backprop
        )
        inputs = keras.Input([8])
        model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
        model.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    x = rng.standard_normal([16, 8]).astype("float32")
    model.fit(x, x[:, :1], batch_size=8, epochs=2, shuffle=False, verbose=0)
    return {variable.path: variable.numpy() for variable in model.variables}


wanted = trained("stored")
for backprop in ("reversible", "checkpoint"):
    got = trained(backprop)
    for value, other in zip(got.values(), wanted.values(), strict=True):
        np.testing.assert_array_equal(value, other)
means = [value for path, value in wanted.items() if "moving_mean" in path]
assert len(means) == 6 and all(np.abs(mean).max() > 0 for mean in means)
print("the same bits")
