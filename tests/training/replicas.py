"""Trains one step on replicas, and one in passes; compares with single runs. See test_steps.py.

python replicas.py REPLICAS PASSES XLA

XLA is 1 or 0.
"""

import os
import sys

import numpy as np
import tensorflow as tf

import resnet
from resnet.training.optimizer import make_optimizer
from resnet.training.placement import place
from resnet.training.steps import Steps, keep_order_of_sums
from resnet.weights.checkpoint_format import MOMENTUM

NUM_REPLICAS, NUM_PASSES, JIT = map(int, sys.argv[1:])
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # it compiles in half the time
PART, RATE = 3, 0.1
TOLERANCE = 1e-4 if JIT else 1e-6
EXACT = not JIT  # XLA rounds otherwise, which the grid makes larger

placement = place(logical_cpus=NUM_REPLICAS)
keep_order_of_sums()
config = resnet.get_config("revnet-test")
num_parts = NUM_REPLICAS * NUM_PASSES
rng = np.random.default_rng(0)
images = rng.standard_normal([num_parts * PART, 8, 8, 3], np.float32)
labels = rng.integers(0, 10, num_parts * PART, np.int32)

single, parts = resnet.get_model(config, exact=EXACT), []
single_step = tf.function(single.forward_and_backward, autograph=False)
for i in range(0, len(images), PART):
    result = single_step(images[i : i + PART], labels[i : i + PART])
    tensors = {n: t.numpy() for n, t in (result["gradients"] | result["statistics"]).items()}
    parts.append((tensors, float(result["loss"])))
before = {n: v.numpy() for n, v in single.variables_by_storage_name.items()}
wanted = {n: np.mean([part[n] for part, _ in parts], axis=0, dtype=np.float64) for n in parts[0][0]}

with placement.strategy.scope():
    model = resnet.get_model(config, exact=EXACT)
    optimizer = make_optimizer(model)
steps = Steps(model, optimizer, placement.strategy, jit=bool(JIT), num_passes=NUM_PASSES)
per_replica = NUM_PASSES * PART
dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(per_replica, True)
batches = iter(placement.strategy.distribute_datasets_from_function(lambda _: dataset))
metrics = steps.train(*next(batches), tf.constant(RATE))
assert abs(float(metrics["train_ce"]) - np.mean([loss for _, loss in parts])) < TOLERANCE


def relative_error(got, value):
    return np.linalg.norm(got - value) / np.linalg.norm(value)


momentum, largest = optimizer.slots[MOMENTUM], 0.0
for name, variable in model.variables_by_storage_name.items():
    if name in momentum:  # after one step, the momentum is the gradient
        largest = max(largest, relative_error(momentum[name].numpy(), wanted[name]))
        moved = before[name] - RATE * wanted[name]
    else:
        moved = 0.99 * before[name] + 0.01 * wanted[name]
    largest = max(largest, relative_error(variable.numpy(), moved))
    for copy in getattr(variable, "values", [variable]):
        np.testing.assert_array_equal(copy.numpy(), variable.numpy())
assert largest < TOLERANCE, largest

# One part's images make the loss of all replicas and passes no number: nothing moves.
images[-1] = np.nan
before = {n: v.numpy() for n, v in model.variables_by_storage_name.items()}
dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(per_replica, True)
batches = iter(placement.strategy.distribute_datasets_from_function(lambda _: dataset))
careful = Steps(
    model, optimizer, placement.strategy, jit=bool(JIT), num_passes=NUM_PASSES, nan_policy="skip"
)
assert float(careful.train(*next(batches), tf.constant(RATE))["updates_left_out"]) == 1
for name, variable in model.variables_by_storage_name.items():
    for copy in getattr(variable, "values", [variable]):
        np.testing.assert_array_equal(copy.numpy(), before[name])
print(f"largest relative error {largest:.2g}")
