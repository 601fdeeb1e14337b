"""GradientCheck against gradients and inverses computed apart, and what is reported of it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.settings import RunOptions
from resnet.training.experiment import Experiment
from resnet.training.gradient_check import GradientCheck
from resnet.training.optimizer import make_optimizer
from resnet.training.reporting import Reporter
from resnet.training.steps import Steps


def check(exact, units=(6, 6), **options):
    config = dataclasses.replace(resnet.get_config("revnet-test"), units=units)
    rng = np.random.default_rng(0)
    images = rng.standard_normal([6, 8, 8, 3], np.float32)
    labels = rng.integers(0, 10, 6, np.int32)
    model = resnet.get_model(config, exact=exact)
    steps = Steps(model, make_optimizer(model), **options)
    before = model.get_weights()
    found = GradientCheck(steps)(images, labels)
    after = model.get_weights()
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])
    return found, (config, images, labels)


def test_angle_and_error_are_those_of_gradients_computed_apart():
    found, (config, images, labels) = check(exact=False)
    vectors = []
    for backprop in ("reversible", "stored"):
        model = resnet.get_model(config, exact=False, backprop=backprop)
        compute = tf.function(model.forward_and_backward, autograph=False)
        gradients = compute(images, labels)["gradients"]
        vectors.append(np.concatenate([np.ravel(g) for g in gradients.values()]).astype("f8"))
    one, other = vectors
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    sine = np.linalg.norm(one / (one @ one) ** 0.5 - cosine * other / (other @ other) ** 0.5)
    # Other graphs fuse other operations, so that rounding, which is all there is, differs.
    assert found["gradient_angle"] == pytest.approx(np.degrees(np.arcsin(sine)), rel=0.5)
    assert 1e-8 < found["reconstruction_error"] < 1e-4


@pytest.mark.parametrize("num_passes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_nothing_drifts_in_exact_mode(num_passes):
    found, _ = check(exact=True, num_passes=num_passes)
    assert found == {"reconstruction_error": 0, "gradient_angle": 0}


def test_a_restored_value_that_is_wrong_is_seen():
    config = resnet.get_config("revnet-test")
    model = resnet.get_model(config, exact=False)
    weights = model.get_weights()
    # Residuals of 10^4 beside a stream of about 1: float32 loses four digits of it.
    grown = {n: v * 100 if "/unit_1_1/" in n and v.ndim == 4 else v for n, v in weights.items()}
    grown |= {n: v + 1e4 for n, v in weights.items() if "/unit_1_1/" in n and "gamma" in n}
    images = np.random.default_rng(0).standard_normal([6, 8, 8, 3], np.float32)
    small = float(model.reconstruction_error(images))
    model.set_weights(grown)
    assert float(model.reconstruction_error(images)) > 100 * small


@pytest.mark.parametrize(
    ("angles", "num_warnings"), [((0, 0.05), 0), ((0, 0.2), 1), ((3, 5, 7, np.nan), 2)]
)
def test_growth_is_warned_about(tmp_path, capsys, angles, num_warnings):
    options = RunOptions(dataset="synthetic", backprop="reversible", check_gradients_every=1)
    config = resnet.get_config("revnet-test")
    experiment = Experiment("e", config, options, tmp_path / "results", tmp_path / "logs")
    with Reporter(experiment, "command", 0, True, False, True) as reporter:
        for step, angle in enumerate(angles, 1):
            reporter.log_drift(step, {"reconstruction_error": 0.25, "gradient_angle": angle})
        reporter.flush()
    printed = capsys.readouterr().out
    assert printed.count("degrees off stored ones") == num_warnings
    rows = (tmp_path / "logs" / "gradient_angle.csv").read_text().splitlines()
    assert rows[0] == "step,time,degrees" and len(rows) == 1 + len(angles)
