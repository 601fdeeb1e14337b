"""Learning rates, against Keras' schedules and values that PyTorch computes."""

import dataclasses

import keras
import numpy as np
import pytest

from resnet.configs import config_from_json, get_config
from resnet.settings import SettingError

# torch.optim.lr_scheduler.OneCycleLR(max_lr=0.4, total_steps=20, pct_start=0.25,
# cycle_momentum=False) of PyTorch 2.13.0.
ONE_CYCLE = [
    *(0.016, 0.0722355, 0.208, 0.3437645, 0.4, 0.39562954, 0.38270916, 0.36180355, 0.33382639),
    *(0.3000004, 0.26180395, 0.22090641, 0.17909519, 0.13819765, 0.1000012, 0.06617521),
    *(0.03819805, 0.01729244, 0.00437206, 1.6e-06),
]


def config(**fields):
    fields = {"learning_rates": (0.4,), "boundaries": (), "num_steps": 20} | fields
    return dataclasses.replace(get_config("resnet-test"), **fields)


def rates(**fields):
    one = config(**fields)
    return np.array([one.learning_rate(step) for step in range(one.num_steps + 1)])


def keras_rates(schedule):
    return np.array([float(schedule(step)) for step in range(21)])


def test_one_cycle_is_pytorchs():
    found = rates(schedule="one_cycle", warmup_steps=5)
    np.testing.assert_allclose(found, [*ONE_CYCLE, ONE_CYCLE[-1]], rtol=1e-5, atol=1e-8)


def test_cosine_and_linear_are_keras():
    wanted = keras_rates(keras.optimizers.schedules.CosineDecay(0.4, 20))
    np.testing.assert_allclose(rates(schedule="cosine"), wanted, rtol=1e-5, atol=1e-8)
    wanted = keras_rates(keras.optimizers.schedules.PolynomialDecay(0.4, 20, 0.0))
    np.testing.assert_allclose(rates(schedule="linear"), wanted, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_peak_of_a_config_with_boundaries_is_its_highest_rate(schedule):
    base = get_config("resnet20-v1")
    assert base.learning_rates[0] < max(base.learning_rates)
    config = config_from_json({"schedule": schedule}, base)
    assert config.learning_rates == (max(base.learning_rates),) and config.boundaries == ()


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_warm_up_comes_before_the_schedule(schedule):
    found = rates(schedule=schedule, warmup_steps=4, num_steps=24)
    np.testing.assert_allclose(found[:4], [0.1, 0.2, 0.3, 0.4], rtol=1e-12)
    np.testing.assert_allclose(found[4:], rates(schedule=schedule), rtol=1e-12)


def test_warm_up_of_rates_between_boundaries():
    found = rates(learning_rates=(0.4, 0.04), boundaries=(6,), warmup_steps=4, num_steps=8)
    np.testing.assert_allclose(found, [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.04, 0.04, 0.04], rtol=1e-12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"warmup_steps": 21}, "warmup_steps is 21, but must be at most num_steps, 20"),
        ({"schedule": "one_cycle"}, "warmup_steps is 0, but must be 1 or more with schedule one_"),
        (
            {"schedule": "cosine", "learning_rates": (0.1, 0.2)},
            r"learning_rates is \(0.1, 0.2\), but must be one, the peak, with schedule cosine",
        ),
        ({"schedule": "linear", "boundaries": (3,)}, "but must be empty, with schedule linear"),
        ({"label_smoothing": 1.0}, r"label_smoothing is 1.0, but must be a number in \[0, 1\)"),
        ({"ema_decay": 1.0}, r"ema_decay is 1.0, but must be a number in \[0, 1\)"),
        ({"global_clipnorm": 0.0}, "global_clipnorm is 0.0, but must be more than 0, or null"),
        ({"optimizer": "adam", "nesterov": True}, "nesterov is True, but must be false: optimizer"),
        ({"optimizer": "sdg"}, "optimizer is 'sdg', but must be one of sgd, muon, adam, adamw"),
    ],
)
def test_recipes_that_do_not_fit(fields, message):
    with pytest.raises(SettingError, match=message):
        config(**fields)
