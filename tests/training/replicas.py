"""Trains one step on two replicas and compares with two single runs; see test_steps.py."""

import numpy as np
import tensorflow as tf

import resnet
from resnet.training.optimizer import Momentum
from resnet.training.steps import Steps, make_strategy

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

config = resnet.get_config("revnet-test")
rng = np.random.default_rng(0)
images = rng.standard_normal([12, 8, 8, 3], np.float32)
labels = rng.integers(0, 10, 12, np.int32)
rate = tf.constant(0.1)

halves = []
for part in (slice(0, 6), slice(6, 12)):
    single = resnet.get_model(config, exact=False)
    _, gradients = single.loss_and_gradients(images[part], labels[part])
    halves.append((gradients, single.get_weights()))

strategy, scope = make_strategy(["/cpu:0", "/cpu:1"])
with scope:
    model = resnet.get_model(config, exact=False)
    optimizer = Momentum(model.trainable_by_storage_name, 0.9)
before = model.get_weights()
steps = Steps(model, optimizer, strategy)
dataset = tf.data.Dataset.from_tensors((images, labels)).unbatch().batch(12)
for batch, batch_labels in strategy.experimental_distribute_dataset(dataset):
    metrics = steps.train(batch, batch_labels, rate)
assert np.isfinite(float(metrics["loss"]))

after = model.get_weights()
for name, parameter in model.parameters_by_name().items():
    if parameter.is_statistic:
        wanted = (halves[0][1][name] + halves[1][1][name]) / 2
    else:
        wanted = before[name] - 0.1 * (halves[0][0][name] + halves[1][0][name]) / 2
    np.testing.assert_allclose(after[name], wanted, rtol=1e-4, atol=2e-6, err_msg=name)
for variable in model.variables_by_storage_name.values():
    one, other = (v.numpy() for v in variable.values)
    np.testing.assert_array_equal(one, other)
print("replicas agree")
