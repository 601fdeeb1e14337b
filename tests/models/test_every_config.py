"""Every config: a training step in both types, a checkpoint, and a restored model."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.training.metrics import LOSS
from resnet.training.optimizer import make_optimizer
from resnet.training.steps import Steps
from resnet.weights.checkpoint import restore_checkpoint, save_checkpoint

LARGEST = (
    *("resnet-101", "resnet-152", "revnet-104", "resnet1001-v2", "revnet-1001"),
    *("wrn-28-10", "revwrn-28-10", "wrn-16-8", "vgg-16", "vgg-19"),
    *("resnet-110", "revnet-110", "revnet-164", "revnet-110-eager"),
    *("resnet44-v1", "resnet56-v1", "resnet110-v1", "resnet44-v2", "resnet56-v2", "resnet110-v2"),
)
BATCH_SIZE = 2
IMAGE_SIZE = 64  # of ImageNet's, whose networks take any: the full size has tests of its own


@pytest.fixture
def eagerly():
    """Step by step: building a graph takes longer than running it once."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def configs():
    """Every config; the largest, of which there are smaller ones of the same form, are slow."""
    for name in resnet.list_configs():
        yield pytest.param(name, marks=pytest.mark.slow) if name in LARGEST else name


@pytest.mark.parametrize("name", list(configs()))
def test_steps_and_a_restore(name, tmp_path, eagerly):
    config = resnet.get_config(name)
    if config.image_size > IMAGE_SIZE:
        config = dataclasses.replace(config, image_size=IMAGE_SIZE)
    model = resnet.get_model(config)
    optimizer = make_optimizer(model)
    rng = np.random.default_rng(0)
    shape = [BATCH_SIZE, config.image_size, config.image_size, 3]
    images = tf.constant(rng.standard_normal(shape, np.float32))
    labels = tf.constant(rng.integers(0, config.num_classes, BATCH_SIZE, np.int32))
    # The first convolution has a gradient only if all behind it have passed it on.
    first = next(v for n, v in model.variables_by_storage_name.items() if n.endswith("/w"))

    def step(model):
        before = first.numpy()
        metrics = Steps(model, optimizer).train(images, labels, tf.constant(0.01))
        assert np.isfinite(metrics[LOSS])
        assert not np.array_equal(first, before)

    step(model)
    prefix = save_checkpoint(tmp_path, 1, model, optimizer, config.seed)
    variables = [*model.variables_by_storage_name.values(), *optimizer.slots["Momentum"].values()]
    saved = [variable.numpy() for variable in variables]
    low_precision = model.variant(model.computation.backprop, "bfloat16")
    step(low_precision)
    assert restore_checkpoint(prefix, low_precision, optimizer) == 1
    for variable, value in zip(variables, saved, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.name)
