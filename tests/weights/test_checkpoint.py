"""Checkpoints are complete or none, and hold what a run needs to go on."""

import dataclasses
import pathlib

import numpy as np
import pytest

import resnet
from resnet.training.optimizer import make_optimizer
from resnet.weights.checkpoint import (
    init_from_checkpoint,
    list_checkpoints,
    remove_checkpoints,
    restore_checkpoint,
    save_checkpoint,
)
from resnet.weights.checkpoint_format import CheckpointError, read_checkpoint

CONFIG = dataclasses.replace(
    resnet.get_config("revnet-test"), units=(1, 2), learning_rates=(0.5, 0.25), boundaries=(10,)
)


def make(seed=0, config=CONFIG):
    """(model, optimizer) of random weights and momentum."""
    model, rng = resnet.get_model(config, seed=seed), np.random.default_rng(seed)
    optimizer = make_optimizer(model)
    for slot in slots_of(optimizer).values():
        slot.assign(rng.standard_normal(slot.shape))
    return model, optimizer


def slots_of(optimizer):
    """{suffix and storage name: tf.Variable}."""
    return {f"{kind} of {n}": v for kind, one in optimizer.slots.items() for n, v in one.items()}


def values(model, optimizer):
    return model.get_weights() | {n: v.numpy() for n, v in slots_of(optimizer).items()}


def test_what_is_saved_is_restored(tmp_path):
    one, other = make(1), make(2)
    prefix = save_checkpoint(tmp_path, 10, *one, seed=7)
    assert restore_checkpoint(prefix, *other) == 10
    wanted, got = values(*one), values(*other)
    for name in wanted:
        np.testing.assert_array_equal(got[name], wanted[name], err_msg=name)
    content = read_checkpoint(prefix)
    assert (content["Model/global_step"], content["Model/seed"]) == (10, 7)
    assert content["Model/learn_rate"] == 0.25  # the next update's
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.ckpt-10.data-00000-of-00001",
        "model.ckpt-10.index",
    ]


def test_brackets_and_stars_in_a_path_are_no_pattern(tmp_path):
    folder = tmp_path / "a[1]b*?"
    one, other = make(1), make(2)
    prefix = save_checkpoint(folder, 10, *one, seed=7)
    assert list(list_checkpoints(folder)) == [10]
    assert restore_checkpoint(prefix, *other) == 10
    wanted, got = values(*one), values(*other)
    for name in wanted:
        np.testing.assert_array_equal(got[name], wanted[name], err_msg=name)


def test_an_index_without_its_data_is_no_checkpoint(tmp_path):
    for step in (2, 10, 9):
        save_checkpoint(tmp_path, step, *make(), seed=0)
    assert list(list_checkpoints(tmp_path)) == [2, 9, 10]  # by number, not by name
    (tmp_path / "model.ckpt-10.data-00000-of-00001").unlink()
    assert list(list_checkpoints(tmp_path)) == [2, 9]
    (tmp_path / "model.ckpt-9.index").unlink()
    assert list_checkpoints(tmp_path) == {2: str(tmp_path / "model.ckpt-2")}
    save_checkpoint(tmp_path, 5, *make(), seed=0)
    remove_checkpoints(tmp_path, [5])
    assert list(list_checkpoints(tmp_path)) == [5]
    # A kill between the two leaves a half; that goes, too.
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["model.ckpt-5.data-00000-of-00001", "model.ckpt-5.index"]


def test_values_that_are_not_finite_are_not_saved(tmp_path):
    model, optimizer = make()
    next(iter(slots_of(optimizer).values()))[..., 0].assign(np.nan)
    with pytest.raises(resnet.errors.UserError, match=r"is not finite at step 4, which is not sav"):
        save_checkpoint(tmp_path, 4, model, optimizer, seed=0)
    assert not list(tmp_path.iterdir())


def test_another_models_checkpoint_changes_nothing(tmp_path):
    prefix = save_checkpoint(tmp_path, 1, *make(), seed=0)
    model, optimizer = make(3, dataclasses.replace(CONFIG, units=(2, 2)))
    before = values(model, optimizer)
    with pytest.raises(CheckpointError, match="is not one of revnet-test"):
        restore_checkpoint(prefix, model, optimizer)
    after = values(model, optimizer)
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])
    with pytest.raises(CheckpointError, match=r"ckpt-2 does not exist: there is no file .*-2"):
        read_checkpoint(pathlib.Path(tmp_path) / "model.ckpt-2")


def test_what_fits_is_taken_and_what_does_not_is_named(tmp_path):
    source, optimizer = make(1)
    prefix = save_checkpoint(tmp_path, 1, source, optimizer, seed=0)
    model = resnet.get_model(dataclasses.replace(CONFIG, num_classes=3, units=(1, 3)), seed=2)
    before, wanted = model.get_weights(), source.get_weights()
    left = init_from_checkpoint(prefix, model)
    assert {line for line in left if "unit_2_2" not in line} == {
        "Model/logit/w (shape (32, 10) there, (32, 3) here)",
        "Model/logit/b (shape (10,) there, (3,) here)",
    }
    kept = {line.split()[0] for line in left}
    for name, value in model.get_weights().items():
        source_of_value = before if name in kept else wanted
        np.testing.assert_array_equal(value, source_of_value[name], err_msg=name)


def test_averaged_weights_are_kept_beside_the_others_and_evaluated_in_their_place(tmp_path):
    config = dataclasses.replace(CONFIG, ema_decay=0.9)
    one, other = make(1, config), make(2, config)
    prefix = save_checkpoint(tmp_path, 10, *one, seed=7)
    restore_checkpoint(prefix, *other)
    before, after = values(*one), values(*other)
    for name in before:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)

    average = one[0].to_public(one[1].average.variables)
    evaluated, tuned = (resnet.get_model(config, seed=3) for _ in range(2))
    restore_checkpoint(prefix, evaluated)
    assert init_from_checkpoint(prefix, tuned) == []
    for model in (evaluated, tuned, imported(prefix, config)):
        for name, value in model.get_weights().items():
            np.testing.assert_array_equal(value, average[name], err_msg=name)
    assert not np.array_equal(average["Model/init/init_conv/w"], before["Model/init/init_conv/w"])


@pytest.mark.parametrize("name", ["adam", "adamw", "lion", "rmsprop"])
def test_what_any_optimizer_keeps_is_left_out_of_an_import(name, tmp_path):
    config = dataclasses.replace(CONFIG, optimizer=name)
    one = make(1, config)
    model = resnet.get_model(config, seed=4)
    report = resnet.import_weights(model, save_checkpoint(tmp_path, 10, *one, seed=7))
    assert report.step == 10 and not report.momentum
    beside = [n for n in report.ignored if n.startswith("Model/Model/init/init_conv/w/")]
    assert len(beside) == len(one[1].slots)
    for weight, value in one[0].get_weights().items():
        np.testing.assert_array_equal(model.get_weights()[weight], value, err_msg=weight)


def imported(prefix, config):
    """A model of a checkpoint of this project, read as revnet-public's."""
    model = resnet.get_model(config, seed=4)
    report = resnet.import_weights(model, prefix)
    assert len(report.momentum) == len([n for n in report.imported if "ema_" not in n])
    return model
