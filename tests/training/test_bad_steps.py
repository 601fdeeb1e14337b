"""Losses and gradients that are not finite, and values past the exact range."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from processes import assert_same_checkpoint
from resnet.errors import UserError
from resnet.models import Model
from resnet.settings import SettingError
from resnet.training.bad_steps import Numbers, diagnose
from resnet.training.metrics import LOSS
from resnet.training.state import Training
from resnet.training.steps import NORMS
from resnet.weights.checkpoint import list_checkpoints
from resnet.weights.folder import DIAGNOSIS
from small_training import CONFIG, Data, alone, column, experiment_in, run

import resnet  # isort: skip


@pytest.mark.parametrize(
    ("log_every", "steps_per_call"), [(1, 1), (100, 1), (100, 10)], ids=["often", "seldom", "many"]
)
def test_a_loss_that_is_not_finite_names_its_step_and_is_not_saved(
    tmp_path, log_every, steps_per_call
):
    changes = {"log_every": log_every, "save_every": 2, "evaluate_every": 100}
    experiment = experiment_in(tmp_path, {"steps_per_call": steps_per_call}, **changes)
    wanted = r"became nan at step 4; the last checkpoint is step 2.*value .*: the images"
    with pytest.raises(UserError, match=wanted) as e:
        run(experiment, Data([3]))
    assert "(now 0.01) and start again, or continue with --restore and --nan" in str(e.value)
    assert list(list_checkpoints(experiment.results)) == [2]
    found = json.loads((experiment.results / DIAGNOSIS).read_text())
    assert found["step"] == 4 and found["loss"] == "nan"
    assert found["learning_rate"] == pytest.approx(0.01)
    assert found["images"] == [3, 103]
    assert found["first_value"] == "the images"
    assert found["first_gradient"] == "Model/logit/b"
    assert np.isfinite(found["largest_norm"]["batch statistic"][1])


@pytest.mark.parametrize("steps_per_call", [1, 10])
def test_updates_can_be_left_out(tmp_path, capsys, steps_per_call):
    options = {"nan_policy": "skip", "nan_limit": 2, "steps_per_call": steps_per_call}
    averaged = {"ema_decay": 0.9, "log_every": 3, "evaluate_every": 100}
    experiment = experiment_in(tmp_path / "one", options, **averaged)
    run(experiment, Data([1, 3]))
    said = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert [line.split(":")[0] for line in said] == ["step 2", "step 4"]
    assert "loss became nan, and the update is left out (2 of at most 2)" in said[1]
    assert column(experiment, "updates_left_out") == {3: 1, 6: 1, 7: 0}
    assert np.isfinite(list(column(experiment, "train_ce").values())).all()

    # Those that are left are made one by one, as if the others were not there.
    wanted = experiment_in(tmp_path / "other", **averaged)
    training = Training(wanted, Data().feed, alone())
    losses = {}
    for step in (0, 2, 4, 5, 6):
        training.rewind(step)
        losses[step + 1] = float(training.advance(1)["train_ce"])
    training.save()
    assert_same_checkpoint(*(list_checkpoints(e.results)[7] for e in (experiment, wanted)))
    means = {3: np.mean([losses[1], losses[3]]), 6: np.mean([losses[5], losses[6]])}
    means |= {7: losses[7]}
    assert column(experiment, "train_ce") == pytest.approx(means, rel=1e-6)


def test_not_too_many_updates_are_left_out(tmp_path):
    experiment = experiment_in(tmp_path, {"nan_policy": "skip", "nan_limit": 1})
    with pytest.raises(UserError, match=r"at step 4; nothing was saved;.*start again$"):
        run(experiment, Data([1, 3]))


@pytest.mark.parametrize("kind", ["gradient", "batch statistic"])
def test_what_is_not_finite_beside_a_finite_loss_ends_the_run(tmp_path, monkeypatch, kind):
    compute = Model.forward_and_backward

    def overflowing(self, *arguments):
        result = compute(self, *arguments)
        groups = {"gradient": "gradients", "batch statistic": "statistics"}
        group, tensor = groups[kind], "conv1/w" if kind == "gradient" else "bn1/ema_mean"
        name = f"stage_2/start/sub1/{tensor}"
        is_bright = tf.reduce_max(tf.cast(arguments[0], tf.float32)) > 100
        result[group][name] += tf.where(is_bright, np.inf, 0.0)
        return result

    monkeypatch.setattr(Model, "forward_and_backward", overflowing)
    experiment = experiment_in(tmp_path, save_every=1)
    clue = {
        "gradient": "gradient .*: Model/unit_2_0/sub1/conv1/w",
        "batch statistic": "value .*: the input of Model/unit_2_0/sub1/bn1",
    }
    wanted = f"a {kind} is not finite at step 3; .*step 2.*the first {clue[kind]}"
    with pytest.raises(UserError, match=wanted):
        run(experiment, Data([2], value=1000.0))


def test_values_past_the_exact_range_can_end_a_run(tmp_path, capsys):
    config = dataclasses.replace(resnet.get_config("revnet-test"), units=(1, 2))
    changes = vars(config) | {"num_steps": 3, "batch_size": 4, "log_every": 1}
    changes |= {"evaluate_every": 100, "save_every": 1}

    def trained(policy):
        options = {"backprop": "reversible", "exact": True, "exact_policy": policy}
        experiment = experiment_in(tmp_path / policy, options, **changes)
        training = Training(experiment, Data().feed, alone())
        weights, name = training.model.get_weights(), "Model/unit_2_1/f/sub2/conv2/w"
        training.model.set_weights(weights | {name: weights[name] * 1e4})
        training.step = 1
        training.save()
        return experiment, run(experiment)

    experiment, _ = trained("warn")
    assert "past the exact range since the last log" in capsys.readouterr().out
    assert list(list_checkpoints(experiment.results)) == [1, 2, 3]
    wanted = r"\d+ tensors of the residual .* step 2; the last checkpoint is step 1.*--exact_policy"
    with pytest.raises(UserError, match=wanted):
        trained("stop")


def test_without_exact_mode_nothing_is_past_its_range(tmp_path):
    experiment = experiment_in(tmp_path, {"exact_policy": "stop"})
    with pytest.raises(SettingError, match="exact_policy is 'stop', but without exact mode") as got:
        run(experiment)
    assert got.value.keys == ("exact_policy", "exact")


def numbers(training):
    """Numbers of the next step of a training, which is not made."""
    step = tf.constant(training.step, tf.int64)
    found, metrics = training.steps.compute(*training.next_batch(), step)
    training.rewind(training.step)
    return Numbers(metrics[LOSS], 0, training.steps, found[NORMS])


def test_a_diagnosis_names_the_first_in_the_networks_order(tmp_path):
    experiment = experiment_in(tmp_path, units=(2, 2))
    training = Training(experiment, Data().feed, alone())
    assert training.model.config.filters == CONFIG.filters
    found = diagnose(training, numbers(training))
    assert found["first_value"] is None
    gradients = training.steps.compute(*training.next_batch(), tf.constant(0, tf.int64))[0]
    norms = {n: np.linalg.norm(g.numpy().ravel()) for n, g in gradients["gradients"].items()}
    name, norm = found["largest_norm"]["gradient"]
    assert norm == pytest.approx(max(norms.values()), rel=1e-5)
    assert name in training.model.public_names([max(norms, key=norms.get)])
    training.rewind(0)
    weights, name = training.model.get_weights(), "Model/unit_2_0/sub1/conv1/w"
    weights[name][0, 0, 0, 0] = np.inf
    training.model.set_weights(weights)
    found = diagnose(training, numbers(training))
    assert found["first_value"] == "the input of Model/unit_2_0/sub2/bn2"
    assert found["first_gradient"] == "Model/logit/b"
