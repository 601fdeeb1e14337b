"""Optimizers, clipping, weight decay and averages, against NumPy and Keras."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.training.averaging import WeightAverage
from resnet.training.momentum import Momentum
from resnet.training.muon import Muon, orthogonal
from resnet.training.optimizer import (
    NUM_SLOTS,
    Optimizer,
    bytes_per_parameter,
    make_optimizer,
)
from resnet.weights.checkpoint_format import AVERAGE, MOMENTUM

RNG = np.random.default_rng(0)
START = {"w": RNG.standard_normal([3, 2]), "b": RNG.standard_normal([2])}
GRADIENTS = [{n: RNG.standard_normal(v.shape) for n, v in START.items()} for _ in range(3)]
RATES = (0.1, 0.05, 0.2)


def variables():
    return {name: tf.Variable(value, dtype=tf.float32, name=name) for name, value in START.items()}


def train(optimizer):
    for step, (gradients, rate) in enumerate(zip(GRADIENTS, RATES, strict=True)):
        gradients = {name: tf.constant(g, tf.float32) for name, g in gradients.items()}
        optimizer.apply(gradients, tf.constant(rate), tf.constant(step, tf.int64))


def model_of(**fields):
    config = dataclasses.replace(
        resnet.get_config("resnet-test"), units=(1, 1, 1), image_size=8, **fields
    )
    return resnet.get_model(config)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("name", NUM_SLOTS)
def test_what_is_kept_of_a_parameter(name, ema_decay):
    model = model_of(optimizer=name, ema_decay=ema_decay)
    kept = [slot for slots in make_optimizer(model).slots.values() for slot in slots.values()]
    trained = list(model.trainable_by_storage_name.values())
    in_all, of_weights = (
        sum(v.shape.num_elements() for v in some) for some in ([*trained, *trained, *kept], trained)
    )
    # An average is of batch statistics too.
    assert 4 * in_all == pytest.approx(bytes_per_parameter(model.config) * of_weights, rel=0.05)


def test_gradients_longer_than_the_norm_are_shortened_together():
    found, m = variables(), dict.fromkeys(START, 0.0)
    train(Optimizer(Momentum(found, 0.9), clipnorm=1.5))
    wanted = dict(START)
    for gradients, rate in zip(GRADIENTS, RATES, strict=True):
        norm = np.sqrt(sum(np.sum(g**2) for g in gradients.values()))
        assert norm > 1.5
        for name, g in gradients.items():
            m[name] = 0.9 * m[name] + g * min(1, 1.5 / norm)
            wanted[name] = wanted[name] - rate * m[name]
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
    same = variables()
    train(Optimizer(Momentum(same, 0.9), clipnorm=100.0))
    other = variables()
    train(Optimizer(Momentum(other, 0.9)))
    np.testing.assert_allclose(same["w"], other["w"], rtol=1e-6)


def test_decoupled_decay_is_not_in_the_momentum():
    found, m = variables(), 0.0
    train(Optimizer(Momentum(found, 0.9), decay=0.3, decayed=[found["w"]]))
    w = START["w"]
    for gradients, rate in zip(GRADIENTS, RATES, strict=True):
        m = 0.9 * m + gradients["w"]
        w = w - rate * 0.3 * w - rate * m
    np.testing.assert_allclose(found["w"], w, rtol=1e-5)
    free = variables()
    train(Optimizer(Momentum(free, 0.9)))
    np.testing.assert_array_equal(found["b"], free["b"])


@pytest.mark.parametrize(
    ("name", "keras_optimizer"),
    [
        ("adam", lambda: keras.optimizers.Adam(0.0, beta_1=0.8)),
        ("adamw", lambda: keras.optimizers.AdamW(0.0, weight_decay=0.02, beta_1=0.8)),
        ("lion", lambda: keras.optimizers.Lion(0.0, beta_1=0.8, weight_decay=0.02)),
        ("rmsprop", lambda: keras.optimizers.RMSprop(0.0, momentum=0.8)),
    ],
)
def test_an_optimizer_of_keras_is_keras_own(name, keras_optimizer):
    model = model_of(optimizer=name, momentum=0.8, weight_decay=0.02, decay_all=True)
    ours, trained = make_optimizer(model), model.trainable_by_storage_name
    copies = [keras.Variable(v.numpy()) for v in trained.values()]
    theirs = keras_optimizer()
    theirs.build(copies)
    for step, rate in enumerate(RATES):
        gradients = {
            n: tf.constant(RNG.standard_normal(v.shape), tf.float32) for n, v in trained.items()
        }
        ours.apply(gradients, tf.constant(rate), tf.constant(step, tf.int64))
        theirs.learning_rate = rate
        theirs.apply(list(gradients.values()))
    for variable, copy in zip(trained.values(), copies, strict=True):
        np.testing.assert_allclose(variable, copy, rtol=1e-5, atol=1e-6)


def nearest(matrix):
    """What Muon's iteration does to a matrix's singular values, by its decomposition."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.linalg.norm(s)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ np.diag(s) @ v


@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (2, 3, 3, 2, 40), (3, 1, 1, 8, 8)])
def test_muon_takes_the_orthogonal_part_of_the_momentum(shape):
    """Of one kernel, or of each in a stack; all else by Nesterov's momentum at its own rate."""
    kernel, bias = RNG.standard_normal(shape), RNG.standard_normal(5)
    found = {"w": tf.Variable(kernel, dtype=tf.float32), "b": tf.Variable(bias, dtype=tf.float32)}
    muon, m, n = Muon(found, {"w"}, 0.8, sgd_ratio=20.0), 0.0, 0.0
    assert list(muon.slots[MOMENTUM]) == ["w", "b"]
    for step, rate in enumerate(RATES):
        g, h = RNG.standard_normal(shape), RNG.standard_normal(5)
        gradients = {"w": tf.constant(g, tf.float32), "b": tf.constant(h, tf.float32)}
        Optimizer(muon, decay=0.1, decayed=[found["w"]]).apply(
            gradients, tf.constant(rate), tf.constant(step, tf.int64)
        )
        m, n = 0.8 * m + g, 0.8 * n + h
        matrices = (g + 0.8 * m).reshape(-1, np.prod(shape[-4:-1]), shape[-1])
        update = np.stack([nearest(matrix) for matrix in matrices]).reshape(shape)
        size = 0.2 * np.sqrt(max(matrices.shape[1:]))
        kernel = kernel - rate * 0.1 * kernel - rate * size * update
        bias = bias - 20 * rate * (h + 0.8 * n)
    np.testing.assert_allclose(found["w"], kernel, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["b"], bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(muon.slots[MOMENTUM]["w"], m, rtol=1e-5, atol=1e-5)


def test_orthogonal_matrices_have_singular_values_near_one():
    matrices = tf.constant(RNG.standard_normal([3, 20, 7]), tf.float32)
    values = np.linalg.svd(orthogonal(matrices).numpy(), compute_uv=False)
    assert values.min() > 0.6 and values.max() < 1.3
    np.testing.assert_array_equal(orthogonal(tf.zeros([2, 3, 4])), np.zeros([2, 3, 4]))


def test_muon_takes_the_kernels_of_a_model_alone():
    model = model_of(optimizer="muon", weight_decay=0.0)
    optimizer, before = make_optimizer(model), model.get_weights()
    gradients = {n: tf.ones(v.shape) for n, v in model.trainable_by_storage_name.items()}
    optimizer.apply(gradients, tf.constant(0.01), tf.constant(0, tf.int64))
    for name, value in model.get_weights().items():
        if "ema_" in name:
            continue
        moved = before[name] - value
        if value.ndim == 4:  # of rank one, as all ones are, with a norm of that size
            longer = max(np.prod(value.shape[:3]), value.shape[3])
            assert np.linalg.norm(moved) < 1.3 * 0.01 * 0.2 * np.sqrt(longer)
        else:
            np.testing.assert_allclose(moved, 0.01 * 30 * 1.9, rtol=1e-4)


def test_which_weights_decay_and_how():
    images = tf.constant(RNG.standard_normal([2, 8, 8, 3]), tf.float32)
    labels = tf.constant([1, 2])
    free = model_of(weight_decay=0.0).loss_and_gradients(images, labels)[1]

    def added(**fields):
        model = model_of(weight_decay=0.5, **fields)
        found = model.loss_and_gradients(images, labels)[1]
        decayed = make_optimizer(model)._decayed
        weights = model.get_weights()
        names = {n for n in found if not np.allclose(found[n], free[n], atol=1e-6)}
        for name in names:
            np.testing.assert_allclose(
                found[name] - free[name], 0.5 * weights[name], rtol=1e-3, atol=1e-4
            )
        return names, len(decayed)

    weights_only = {name for name in free if name.endswith("/w")}
    assert added() == (weights_only, 0)
    names, _ = added(decay_all=True)  # betas and biases are 0 at first
    assert names == weights_only | {name for name in free if name.endswith("/gamma")}
    nothing, count = added(decoupled_weight_decay=True)
    assert not nothing and count == len(
        [n for n in model_of().trainable_by_storage_name if n.endswith("/w")]
    )
    assert added(optimizer="adamw", decay_all=True) == (
        set(),
        len(model_of().trainable_by_storage_name),
    )


def test_averages_follow_every_weight():
    model = model_of(ema_decay=0.9)
    optimizer = make_optimizer(model)
    assert set(optimizer.slots) == {MOMENTUM, AVERAGE}
    weights = {n: v.numpy() for n, v in model.variables_by_storage_name.items()}
    assert optimizer.slots[AVERAGE].keys() == weights.keys()
    wanted = dict(weights)
    gradients = {n: tf.ones(v.shape) for n, v in model.trainable_by_storage_name.items()}
    for step, keep in ((0, 2 / 11), (1, 3 / 12), (998, 0.9)):
        optimizer.apply(gradients, tf.constant(0.1), tf.constant(step, tf.int64))
        for name, variable in model.variables_by_storage_name.items():
            wanted[name] = keep * wanted[name] + (1 - keep) * variable.numpy()
    for name, value in wanted.items():
        np.testing.assert_allclose(optimizer.slots[AVERAGE][name], value, rtol=1e-5, atol=1e-6)
    optimizer.average.reset()
    for name, variable in model.variables_by_storage_name.items():
        np.testing.assert_array_equal(optimizer.average.variables[name], variable)


def test_an_average_without_a_step_has_the_decay_itself():
    weight = tf.Variable(1.0)
    average = WeightAverage({"w": weight}, 0.75)
    weight.assign(5.0)
    average.update(None)
    assert float(average.variables["w"]) == 0.75 * 1 + 0.25 * 5


@pytest.mark.parametrize("exponent", [-8, -19, -20, -30, -45])
def test_kernels_without_gradients_come_to_rest(exponent):
    """Their momentum falls step by step, until it leaves float32's range."""
    matrices = np.random.default_rng(0).standard_normal([1, 36, 8]) * 10.0**exponent
    update = orthogonal(tf.constant(matrices, tf.float32)).numpy()
    assert np.isfinite(update).all()
    assert exponent == -8 or np.abs(update).max() < 1e-3
