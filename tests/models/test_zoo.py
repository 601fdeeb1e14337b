"""The zoo against references in Keras: values, gradients, moving averages; and its dropout."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import keras_zoo
import resnet
from resnet.models.layers import dropout
from resnet.models.residual import Residual
from resnet.models.stages import seed_at
from resnet.training.optimizer import make_optimizer
from resnet.training.steps import PART_SEEDS, STEP_SEEDS, Steps

# Relative error of a gradient: batch norm rounds otherwise there, and an activation that
# rounding carries over ReLU's kink changes what is behind it. A wrong block gives 0.1 or more.
KINKS = 2e-2

CASES = {
    "resnet20-v1": ({"units": (2, 2, 2)}, lambda: keras_zoo.resnet_v1((16, 32, 64), 2, "A")),
    "resnet20-v1, shortcut B": (
        {"units": (2, 2, 2), "shortcut": "B"},
        lambda: keras_zoo.resnet_v1((16, 32, 64), 2, "B"),
    ),
    "resnet20-v2": ({"units": (2, 2, 2)}, lambda: keras_zoo.resnet_v2((16, 32, 64), 2, "A")),
    "resnet110-v2": ({"units": (2, 2, 2)}, lambda: keras_zoo.resnet_v2((16, 32, 64), 2, "B")),
    "resnet164-v2": (
        {"units": (2, 2, 2)},
        lambda: keras_zoo.resnet_v2((64, 128, 256), 2, "B", bottleneck=True, shared=True),
    ),
    "wrn-16-4": ({}, lambda: keras_zoo.resnet_v2((64, 128, 256), 2, "B", shared=True)),
    "vgg-11": (
        {"filters": (8, 16, 32, 32, 32)},
        lambda: keras_zoo.vgg((8, 16, 32, 32, 32), (1, 1, 2, 2, 2)),
    ),
    "resnext-29-8x64d": (
        {"units": (1, 1, 1), "bottleneck_width": 2, "cardinality": 4},
        lambda: keras_zoo.resnet_v1((256, 512, 1024), 1, "B", ((128, 256, 512), 4)),
    ),
}


def batch(size=8):
    rng = np.random.default_rng(1)
    images = rng.standard_normal([size, 32, 32, 3], np.float32)
    return tf.constant(images), tf.constant(rng.integers(0, 10, size, np.int32))


def draw(model):
    """Weights of which no two tensors are alike, gammas and moving averages too."""
    rng = np.random.default_rng(3)
    drawn = {}
    for name, value in model.get_weights().items():
        kind = model.network.parameters_by_name()[name].kind
        noise = 0.1 * rng.standard_normal(value.shape)
        drawn[name] = (value + (np.abs(noise) if kind == "variance" else noise)).astype(np.float32)
        if kind in ("conv", "dense"):
            drawn[name] = value
    return drawn


def blocks_of(kernel, groups):
    """The part of a full kernel that a grouped convolution has."""
    inputs, outputs = kernel.shape[2] // groups, kernel.shape[3] // groups
    parts = [
        kernel[:, :, g * inputs : (g + 1) * inputs, g * outputs : (g + 1) * outputs]
        for g in range(groups)
    ]
    return np.concatenate(parts, axis=3)


def full_kernel(kernel, groups):
    """Zero but for the groups' blocks."""
    full = np.zeros([*kernel.shape[:2], kernel.shape[2] * groups, kernel.shape[3]], np.float32)
    inputs, outputs = kernel.shape[2], kernel.shape[3] // groups
    for g in range(groups):
        to = slice(g * outputs, (g + 1) * outputs)
        full[:, :, g * inputs : (g + 1) * inputs, to] = kernel[..., to]
    return full


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_equal_the_reference(case):
    changes, reference = CASES[case]
    config = dataclasses.replace(resnet.get_config(case.partition(",")[0]), **changes)
    model = resnet.get_model(config)
    weights = draw(model)
    model.set_weights(weights)
    wanted, variables = reference()
    assert variables.keys() == weights.keys()
    for name, variable in variables.items():
        if isinstance(variable, tuple):
            variable[0].assign(full_kernel(weights[name], variable[1]))
        else:
            variable.assign(weights[name])
    images, labels = batch()
    np.testing.assert_allclose(model(images), wanted(images, training=False), rtol=1e-3, atol=1e-3)

    loss, gradients = model.loss_and_gradients(images, labels)
    with tf.GradientTape() as tape:
        logits = wanted(images, training=True)
        wanted_loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
        parameters = model.network.parameters_by_name()
        decayed = [variables[name] for name in variables if parameters[name].is_decayed]
        kernels = [kernel[0] if isinstance(kernel, tuple) else kernel for kernel in decayed]
        penalty = tf.add_n([tf.reduce_sum(tf.square(kernel)) for kernel in kernels])
        total = wanted_loss + config.weight_decay / 2 * penalty
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-4)
    names = list(gradients)
    flat = [variables[n][0] if isinstance(variables[n], tuple) else variables[n] for n in names]
    for name, gradient in zip(names, tape.gradient(total, [v.value for v in flat]), strict=True):
        if isinstance(variables[name], tuple):
            gradient = blocks_of(gradient.numpy(), variables[name][1])
        # A bias before batch norm has no gradient but rounding.
        if not name.endswith("/conv/b"):
            error = np.linalg.norm(gradients[name] - gradient) / np.linalg.norm(gradient)
            assert error < KINKS, (name, error)
    for name, value in model.get_weights().items():
        if parameters[name].is_statistic:  # Keras counts the variance's n - 1
            np.testing.assert_allclose(value, variables[name], rtol=2e-2, atol=1e-3, err_msg=name)


SEED = tf.constant([5, 7], tf.int64)


def dropped_gradients(seed, **options):
    """Loss and gradients of a small reversible network with dropout."""
    config = dataclasses.replace(
        resnet.get_config("revwrn-40-4"),
        stem_filters=8,
        filters=(8, 16, 32),
        units=(3, 1, 1),
        dropout=0.3,
    )
    model = resnet.get_model(config, **options)
    step = tf.function(lambda x, y: model.forward_and_backward(x, y, seed), autograph=False)
    result = step(*batch())
    return float(result["loss"]), {n: g.numpy() for n, g in result["gradients"].items()}


@pytest.mark.parametrize(
    ("dtype", "recomputed"),
    [("float32", [{}, {"loop": "on"}, {"backprop": "checkpoint"}]), ("bfloat16", [{"loop": "on"}])],
)
def test_dropout_drops_the_same_values_when_activations_are_recomputed(
    dtype, recomputed, sums_as_written
):
    loss, wanted = dropped_gradients(SEED, dtype=dtype, backprop="stored")
    for options in recomputed:
        other_loss, got = dropped_gradients(SEED, dtype=dtype, **options)
        assert other_loss == loss
        for name in wanted:
            np.testing.assert_array_equal(got[name], wanted[name], err_msg=f"{options} {name}")


def test_dropout_is_drawn_without_a_seed():
    config = dataclasses.replace(resnet.get_config("resnet-test"), dropout=0.3)
    model, (images, labels) = resnet.get_model(config), batch()
    losses = [
        float(model.forward_and_backward(images, labels, seed)["loss"])
        for seed in (SEED, SEED, SEED + 1, None, None)
    ]
    assert losses[0] == losses[1] and len(set(losses)) == 4


def test_every_step_pass_and_replica_drops_its_own_values():
    config = dataclasses.replace(resnet.get_config("resnet-test"), dropout=0.3, seed=2)
    model = resnet.get_model(config)
    steps = Steps(model, make_optimizer(model), num_passes=3)
    images, labels = (tf.repeat(tensor[:1], 6, axis=0) for tensor in batch())
    seen = []
    original = model.forward_and_backward

    def watched(images, labels, seed, *more):
        seen.append(tuple(seed.numpy()))
        return original(images, labels, seed, *more)

    model.forward_and_backward = watched
    tf.config.run_functions_eagerly(True)
    steps.train(images, labels, tf.constant(0.1), tf.constant(5, tf.int64))
    tf.config.run_functions_eagerly(False)
    first = 2 * STEP_SEEDS + 5
    assert seen == [(first, part * PART_SEEDS) for part in range(3)]


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_dropout_is_the_same_under_xla(dtype):
    x = tf.ones([50, 1000], dtype)
    plain = dropout(x, 0.05, SEED)
    compiled = tf.function(lambda x: dropout(x, 0.05, SEED), jit_compile=True)(x)
    np.testing.assert_array_equal(plain, compiled)
    assert abs(np.mean(plain.numpy() == 0) - 0.05) < 0.005


def test_dropout_of_neighbouring_places_is_drawn_apart():
    drawn = [dropout(tf.ones([4096]), 0.5, seed_at(SEED, place)).numpy() for place in (0, 1, 2)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        for shift in range(17):
            same = drawn[one][shift:] == drawn[other][: 4096 - shift]
            assert abs(np.mean(same) - 0.5) < 0.05, (one, other, shift)


def test_dropout_drops_its_share_in_training_alone():
    x = tf.ones([4, 16, 16, 32])
    residual = Residual("basic", 32, 32, activate_first=False, dropout=0.3)
    params = {name: tf.ones(p.shape) for name, p in residual.parameters().items()}
    # A first convolution that changes nothing shows the dropout behind it.
    identity = np.zeros([3, 3, 32, 32], np.float32)
    identity[1, 1] = np.eye(32)
    params |= {"sub1/conv1/w": identity, "sub2/conv2/w": identity}
    params |= {"sub2/bn2/ema_mean": tf.zeros([32]), "sub2/bn2/beta": tf.zeros([32])}
    _, statistics = residual(params, x, True, SEED)
    mean = np.mean(statistics["sub2/bn2/ema_mean"])  # of values that are 0 or 1 / 0.7
    np.testing.assert_allclose(mean, 1, atol=0.02)
    variance = np.mean(statistics["sub2/bn2/ema_var"])
    np.testing.assert_allclose(variance, 0.3 / 0.7, atol=0.02)
    y, _ = residual(params, x, False)
    np.testing.assert_allclose(y, 1, rtol=1e-3)
