"""i-RevNets: images come back to the bit, gradients are stored backprop's, no stage keeps input."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.data.cifar.input import load_dataset
from resnet.data.cifar.preparation import prepare_for
from resnet.errors import UsageError
from resnet.models import Network, computation_for
from resnet.models.cost import activation_bytes
from resnet.reversible import stored_bytes
from resnet.reversible.exact import EXACT_LIMIT
from resnet.settings import SettingError

IREVNET_38 = resnet.get_config("irevnet-38")
SMALL = dataclasses.replace(
    IREVNET_38, image_size=8, units=(1, 2, 2), inner_filters=(4, 8, 6), num_classes=4
)
DEEP = dataclasses.replace(SMALL, units=(4, 1, 3))
TALL = dataclasses.replace(  # as irevnet-56: a stem of space to depth, and bottlenecks
    SMALL, image_size=16, block="bottleneck", stem_stride=4, stem_filters=64, filters=(16, 64, 256)
)


def pixels(config, count=6, seed=0):
    """(N, H, W, 3) float32: whole pixels, as preprocessor cifar-grid makes them."""
    size = config.image_size
    drawn = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3))
    return tf.constant((drawn - 128) / 64, tf.float32)


def trained(model, seed=0):
    """The model with weights and moving averages that are nothing special."""
    rng, weights = np.random.default_rng(seed), model.get_weights()
    size = 1 / sum(model.config.units)  # values are to stay within the exact range
    for name, value in weights.items():
        noise = rng.standard_normal(value.shape)
        if name.endswith(("ema_var", "gamma")):
            weights[name] = 0.2 + noise**2 if name.endswith("ema_var") else size * (1 + noise)
        elif name.endswith(("ema_mean", "beta")):
            weights[name] = size * noise
    model.set_weights(weights)
    return model


@pytest.mark.parametrize(
    ("config", "loop", "dtype"),
    [
        (SMALL, "off", "float32"),
        (SMALL, "off", "bfloat16"),
        (DEEP, "on", "float32"),
        (TALL, "off", "bfloat16"),
    ],
    ids=["small-float32", "small-bfloat16", "loop-float32", "tall-bfloat16"],
)
def test_images_come_back_to_the_bit(config, loop, dtype):
    model = trained(resnet.get_model(config, dtype=dtype, loop=loop))
    images = pixels(config)
    for features, invert in (
        (model.features, model.invert),
        (tf.function(model.features), tf.function(model.invert)),
    ):
        found = features(images)
        assert found.shape[1:] == model.network.features_shape
        np.testing.assert_array_equal(invert(found), images)
    values = model.variables_by_storage_name
    gamma, beta, mean, variance = (
        values[f"unit_last/final_bn/{name}"] for name in ("gamma", "beta", "ema_mean", "ema_var")
    )
    active = tf.nn.relu(gamma * (found - mean) / tf.sqrt(variance + 1e-3) + beta)
    logits = tf.reduce_mean(active, [1, 2]) @ values["logit/w"] + values["logit/b"]
    np.testing.assert_allclose(tf.function(model)(images), logits, rtol=1e-3, atol=1e-3)


def test_images_off_the_grid_come_back_rounded_or_nearly():
    images = tf.random.stateless_normal([4, 8, 8, 3], [0, 1])
    exact = trained(resnet.get_model(SMALL))
    restored = exact.invert(exact.features(images))
    np.testing.assert_array_equal(restored, np.round(images * 2.0**12) / 2.0**12)
    plain = trained(resnet.get_model(SMALL, exact=False))
    restored = plain.invert(plain.features(images))
    assert 0 < np.abs(restored - images).max() < 1e-2


@pytest.mark.parametrize(
    ("config", "loop", "dtype"),
    [(SMALL, "off", "bfloat16"), (DEEP, "on", "float32"), (TALL, "off", "float32")],
    ids=["small-bfloat16", "loop-float32", "tall-float32"],
)
def test_gradients_are_those_of_stored_backprop(config, loop, dtype):
    images, labels = pixels(config), tf.constant([0, 1, 2, 3, 0, 1])
    found = {}
    for backprop in ("reversible", "stored", "checkpoint"):
        form = loop if backprop == "reversible" else "auto"
        model = resnet.get_model(config, backprop=backprop, dtype=dtype, exact=True, loop=form)
        step = tf.function(model.forward_and_backward)
        found[backprop] = model.to_public(step(images, labels)["gradients"])
        if backprop == "reversible":
            assert float(model.reconstruction_error(images)) == 0
    assert np.abs(found["stored"]["Model/unit_1_0/f/sub1/conv1/w"]).max() > 0
    for name, gradient in found["stored"].items():
        np.testing.assert_array_equal(found["reversible"][name], gradient, err_msg=name)
        np.testing.assert_array_equal(found["checkpoint"][name], gradient, err_msg=name)


def test_of_all_activations_the_features_alone_are_kept():
    def kept(config, **computation):
        """Bytes an image."""
        computation = computation_for(config, loop="off", **computation)
        network = Network(config, computation, 1, include_top=False, has_raw_features=True)
        model = resnet.get_model(config)
        values = {n: tf.convert_to_tensor(v) for n, v in model.trainable_by_storage_name.items()}

        def function(params, images):
            return network.apply(params, images, True)[:2]

        for stage in network.stages:
            assert not stage.num_kept or stage is network.stages[-1]
        network.stages = [dataclasses.replace(stage, num_kept=0) for stage in network.stages]
        # What does not grow with the images: parts of weights.
        few, more = (stored_bytes(function, values, tf.TensorSpec([n, 8, 8, 3])) for n in (2, 3))
        return more - few

    features = 8 * 8 * 16 * 4
    assert kept(SMALL) == features
    assert kept(dataclasses.replace(SMALL, units=(4, 4, 4))) == features
    assert kept(SMALL, backprop="checkpoint") > 4 * features
    images, inputs = 8 * 8 * 3 * 4, 8 * 8 * 4 * (8 + 4)
    revnet = dataclasses.replace(
        resnet.get_config("revnet-38"), image_size=8, filters=(8, 16, 32), stem_filters=8
    )
    assert kept(revnet) > images + inputs


def test_units_that_are_kept_are_the_networks_last():
    # Units of the last stage take more than those before.
    config = dataclasses.replace(IREVNET_38, units=(3, 3, 3), inner_filters=(4, 4, 512))
    budgets = [0, *(2**kb for kb in range(14, 24))]
    found = []
    for budget in budgets:
        network = Network(config, computation_for(config, memory_budget=budget))
        kept = [stage.num_kept for stage in network.stages]
        assert kept in ([0, 0, kept[2]], [0, kept[1], 3], [kept[0], 3, 3])
        found.append(sum(kept))
    assert found == sorted(found) and found[0] < 3 and found[-1] == 9
    images, labels = pixels(SMALL), tf.constant([0, 1, 2, 3, 0, 1])
    gradients = []
    for budget in (None, 2**22):
        model = resnet.get_model(SMALL, memory_budget=budget)
        step = tf.function(model.forward_and_backward)
        gradients.append(step(images, labels)["gradients"])
    assert model.network.stages[0].num_kept == 1
    for name, gradient in gradients[0].items():
        np.testing.assert_array_equal(gradients[1][name], gradient, err_msg=name)


def test_it_takes_less_memory_than_the_revnet_beside_it():
    def needed(name):
        config = resnet.get_config(name)
        return activation_bytes(Network(config, computation_for(config)))

    for size in ("38", "110", "56"):
        assert needed(f"irevnet-{size}") < needed(f"revnet-{size}")


@pytest.mark.parametrize(
    ("changes", "keys", "message"),
    [
        ({"filters": (16, 32, 64)}, "filters stem_filters strides", "of 64 channels in stage 2"),
        ({"inner_filters": (4, 8)}, "inner_filters units", "as long as units"),
        ({"inner_filters": ()}, "inner_filters units", "as long as units"),
        ({"strides": (1, 2, 4)}, "strides family", "of 1 and 2"),
        ({"stem_stride": 3}, "stem_stride family", "1, 2 or 4"),
        ({"stem_filters": 2}, "stem_filters family", "3 or more"),
        ({"stem_stride": 4}, "stem_filters family", "48 or more"),
        ({"stem_kernel": 7}, "stem_kernel family", "left at its default: an i-RevNet has no oth"),
        ({"shortcut": "B"}, "shortcut family", "left at its default: an i-RevNet has no other"),
        ({"image_size": 10}, "image_size strides", "a multiple of 4, all strides together"),
    ],
)
def test_configs_that_have_no_inverse(changes, keys, message):
    config = dataclasses.replace(SMALL, **changes)
    with pytest.raises(SettingError, match=message) as caught:
        Network(config, computation_for(config))
    assert caught.value.keys == tuple(keys.split())


def test_cardinality_divides_what_is_inside():
    config = dataclasses.replace(TALL, cardinality=3)
    with pytest.raises(SettingError, match=r"a divisor of inner_filters \(4 in stage 1"):
        Network(config, computation_for(config))
    # Of it alone: half of the filters is no number of channels inside.
    config = dataclasses.replace(TALL, inner_filters=(32, 64, 96), cardinality=32)
    assert Network(config, computation_for(config)).config.cardinality == 32


def test_what_is_no_whole_inverse_says_so():
    revnet = resnet.get_model("revnet-test")
    features = revnet.features(tf.zeros([2, 8, 8, 3]))
    assert features.shape == (2, 4, 4, 32)
    with pytest.raises(UsageError, match="revnet-test is a RevNet, which has no inverse as a wh"):
        revnet.invert(features)
    message = "features have shape (2, 4, 4, 32), but those of irevnet-38 have (N, 2, 2, 256)"
    with pytest.raises(UsageError, match=re.escape(message)):
        resnet.get_model(SMALL).invert(features)
    config = dataclasses.replace(revnet.config, inner_filters=(4, 8))
    with pytest.raises(SettingError, match=r"inner_filters is \(4, 8\), but must be left at its"):
        resnet.get_model(config)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_all_test_images_of_cifar_10_come_back_to_the_bit(dtype, cifar):
    images = load_dataset("cifar-10", cifar).test.images
    assert len(images) == 10_000
    scaling = prepare_for("cifar-grid", "cifar-10", statistic=None)
    model = trained(resnet.get_model("irevnet-38", dtype=dtype))
    features, invert = tf.function(model.features), tf.function(model.invert)
    for batch in np.split(images, 20):
        wanted = scaling(batch)
        found = features(wanted)
        assert np.abs(found).max() < EXACT_LIMIT
        np.testing.assert_array_equal(invert(found), wanted)
        np.testing.assert_array_equal(wanted * 64 + 128, batch)
