"""Which tensors weight decay acts on, and how the loss depends on it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.models.parameters import Parameter

STATISTICS = ("ema_mean", "ema_var")
UNDECAYED = ("gamma", "beta", "b")
DECAY = 0.25  # large enough that what it adds is no rounding


def batch_norm(name):
    return [f"{name}/{ending}" for ending in (*STATISTICS, "beta", "gamma")]


def names():
    """Those of a RevNet of two stages of two bottleneck units, written out."""
    found = ["init/init_conv/w", *batch_norm("init/init_bn")]
    for unit in ("unit_1_0", "unit_1_1", "unit_2_0", "unit_2_1"):
        for half in ("f", "g"):
            for i in (1, 2, 3):
                found.append(f"{unit}/{half}/sub{i}/conv{i}/w")
                if (unit, half, i) != ("unit_1_0", "f", 1):  # the stem has just activated
                    found += batch_norm(f"{unit}/{half}/sub{i}/bn{i}")
    # From 8 to 32 channels a half, and to 64.
    found += [f"unit_{s}_0/x{i}_bottleneck/project/w" for s in (1, 2) for i in (1, 2)]
    found += [*batch_norm("unit_last/final_bn"), "logit/w", "logit/b"]
    return [f"Model/{name}" for name in found]


def is_decayed(name):
    ending = name.rpartition("/")[2]
    return {"w": True, **dict.fromkeys((*UNDECAYED, *STATISTICS), False)}[ending]


def test_weight_decay_acts_on_weights_alone():
    config = dataclasses.replace(resnet.get_config("revnet-btl-test"), weight_decay=DECAY)
    images = np.random.default_rng(0).standard_normal([4, 8, 8, 3], np.float32)
    labels = np.arange(4, dtype=np.int32)

    def loss_and_gradients(config):
        model = resnet.get_model(config)
        weights = model.get_weights()
        assert sorted(weights) == sorted(names())
        # No tensor is zero, or its decay could not be seen.
        rng = np.random.default_rng(1)
        weights = {n: w + rng.uniform(0.5, 1, w.shape).astype("f4") for n, w in weights.items()}
        model.set_weights(weights)
        loss, gradients = tf.function(model.loss_and_gradients)(images, labels)
        return weights, float(loss), {name: g.numpy() for name, g in gradients.items()}

    weights, loss, decayed = loss_and_gradients(config)
    _, other_loss, plain = loss_and_gradients(dataclasses.replace(config, weight_decay=0.0))
    assert loss == other_loss
    trained = [name for name in names() if not name.endswith(STATISTICS)]
    assert sorted(decayed) == sorted(plain) == sorted(trained)
    for name in trained:
        added = DECAY * weights[name] if is_decayed(name) else np.zeros_like(weights[name])
        largest = np.abs(plain[name]).max() + DECAY
        np.testing.assert_allclose(
            decayed[name] - plain[name], added, atol=1e-5 * largest, err_msg=name
        )


def test_kinds_that_decay():
    parameters = resnet.get_model("revnet-btl-test").network.parameters_by_name()
    assert {n: p.is_decayed for n, p in parameters.items()} == {n: is_decayed(n) for n in names()}
    assert [n for n, p in parameters.items() if p.is_statistic] == [
        n for n in parameters if n.endswith(STATISTICS)
    ]


@pytest.mark.parametrize(
    ("initializer", "variances"),
    [
        # Of a 3x3 convolution from 64 to 256 channels, and a dense layer from 200 to 100.
        # Truncation at two deviations leaves 0.7737 of a normal distribution's variance.
        ("fan_out", {"conv": 0.7737 * 2 / (9 * 256), "dense": 3 / 200 / 3}),
        ("he_normal", {"conv": 2 / (9 * 64), "dense": 6 / 300 / 3}),
    ],
)
def test_initial_values_have_their_variance(initializer, variances):
    shapes = {"conv": (3, 3, 64, 256), "dense": (200, 100)}
    for kind, shape in shapes.items():
        values = Parameter(shape, kind).initial_value("one", 0, initializer).numpy()
        # Some 10^5 and 2 * 10^4 values: their variance is met to a few hundredths.
        np.testing.assert_allclose(values.var(), variances[kind], rtol=0.04)
        assert abs(values.mean()) < 0.03 * values.std()
    for kind, value in {"gamma": 1, "variance": 1, "beta": 0, "mean": 0, "bias": 0}.items():
        values = Parameter((5,), kind).initial_value("one", 0, initializer)
        np.testing.assert_array_equal(values, np.full(5, value))


def test_tensors_of_equal_shape_begin_differently():
    parameter = Parameter((3, 3, 4, 4), "conv")
    one, same, other, later = (
        parameter.initial_value(name, seed).numpy()
        for name, seed in (("a", 1), ("a", 1), ("b", 1), ("a", 2))
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other) and not np.array_equal(one, later)
