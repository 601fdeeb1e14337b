"""A stem whose batch is walked in parts, against the framework's own gradient of the whole."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

import resnet
from peaks import peak_bytes
from resnet.models.layers import Convolution
from resnet.models.stem_in_parts import run_in_parts
from resnet.models.stems import Stem
from resnet.reversible import recompute
from resnet.training.optimizer import make_optimizer
from resnet.training.step_memory import step_report
from resnet.training.steps import Steps

SIDE, FILTERS = 24, 8


def stem(dtype="float32", filters=FILTERS):
    return Stem(Convolution(7, 2, 3, filters), True, tf.as_dtype(dtype), tf.float32)


def in_parts(one):
    return lambda params, images: run_in_parts(one, params, images)


def whole(one):
    return lambda params, images: one(params, images, True)


def problem(num_images, side=SIDE, filters=FILTERS):
    """(parameters, images, gradient with respect to the stem's output)."""
    rng = np.random.default_rng(num_images)
    params = {
        "init/init_conv/w": 0.1 * rng.normal(size=(7, 7, 3, filters)) + 0.05,
        "init/init_bn/gamma": rng.uniform(0.5, 1.5, filters),
        "init/init_bn/beta": rng.normal(size=filters),
    }
    params = {name: tf.constant(value, tf.float32) for name, value in params.items()}
    images = tf.constant(rng.normal(size=(num_images, side, side, 3)) + 1, tf.float32)
    upstream = rng.normal(size=(num_images, side // 4, side // 4, filters)) + 0.5
    return params, images, tf.constant(upstream, tf.float32)


def differentiated(run, params, images, upstream):
    """(value, statistics, gradients of parameters and images) of a stem."""
    with tf.GradientTape() as tape:
        tape.watch((params, images))
        y, statistics = run(params, images)
        loss = tf.reduce_sum(y * upstream)
    return y, statistics, tape.gradient(loss, (params, images))


def distance(found, wanted):
    return [
        float(tf.norm(a - b) / tf.norm(b))
        for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(wanted), strict=True)
    ]


@pytest.mark.parametrize("num_images", (1, 3, 7, 16))
def test_values_statistics_and_gradients_are_the_whole_batchs(num_images):
    case = problem(num_images)
    found, wanted = (
        tf.function(differentiated, autograph=False)(run(stem()), *case)
        for run in (in_parts, whole)
    )
    assert max(distance(found, wanted)) < 1e-4


def test_bfloat16_is_as_near_to_float32_as_in_one_piece():
    case = problem(16)
    *_, (truth, _) = differentiated(whole(stem()), *case)
    *_, (found, _) = differentiated(in_parts(stem("bfloat16")), *case)
    *_, (wanted, _) = differentiated(whole(stem("bfloat16")), *case)
    for mine, theirs in zip(distance(found, truth), distance(wanted, truth), strict=True):
        assert mine < 1.2 * theirs


def test_a_batch_of_unknown_size():
    params, images, upstream = problem(2)
    run = tf.function(
        lambda images, upstream: differentiated(in_parts(stem()), params, images, upstream),
        input_signature=[tf.TensorSpec((None, *t.shape[1:])) for t in (images, upstream)],
        autograph=False,
    )
    wanted = differentiated(whole(stem()), params, images, upstream)
    assert max(distance(run(images, upstream), wanted)) < 1e-5


def squared(run, params, images):
    """Gradients of the parameters, of a loss that needs the value."""
    with tf.GradientTape() as tape:
        tape.watch(params)
        y, _ = run(params, images)
        loss = tf.reduce_sum(y * y)
    return tape.gradient(loss, params)


def test_it_takes_less_memory_than_recomputing_the_whole():
    one = stem(filters=32)
    params, images, _ = problem(16, side=96, filters=32)
    values = 16 * 48 * 48 * 32 * 4  # bytes of what the convolution returns
    recomputed = peak_bytes(functools.partial(squared, recompute(whole(one))), params, images)
    assert recomputed > 3 * values
    assert peak_bytes(functools.partial(squared, in_parts(one)), params, images) < 0.7 * recomputed


def test_of_stem_and_first_stage_a_reversible_network_keeps_the_images_and_an_end():
    config = dataclasses.replace(resnet.get_config("revnet-56"), units=(2, 1, 1, 1), image_size=64)
    model = resnet.get_model(config)
    report = step_report(Steps(model, make_optimizer(model)), 8)
    weights = "copy of weights"
    kept = {(t.place, t.num_bytes) for t in report.kept if t.kind != weights}
    half = 8 * 16 * 16 * config.stage_channels[0] // 2 * 4
    assert {size for place, size in kept if place.startswith(("stem", "stage_1"))} == {half}
