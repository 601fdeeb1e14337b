"""The training loop in this process: what it logs, saves, evaluates, and where it stops."""

import dataclasses
import json
import math
import shutil
import signal
import types

import numpy as np
import pytest
import tensorflow as tf

import resnet
from processes import assert_same_checkpoint
from resnet.commands.beginning import removed_if_it_fails
from resnet.commands.restoring import go_back
from resnet.errors import UserError
from resnet.training import train
from resnet.training.evaluation import Accuracy, Evaluation
from resnet.training.interrupts import StopRequest, stop_requests
from resnet.training.logs import Logs
from resnet.training.placement import Hosts
from resnet.training.reporting import OPEN_WINDOW, Window, _kept_window
from resnet.training.state import Training
from resnet.training.train import Evaluations, Hook, InterruptedRunError
from resnet.weights.checkpoint import list_checkpoints, set_aside
from resnet.weights.checkpoint_format import AVERAGE, read_checkpoint
from resnet.weights.folder import BEST, RESULT
from resnet.weights.trained import restore_trained
from small_training import (
    BATCH_SIZE,
    CONFIG,
    SIDE,
    Data,
    alone,
    column,
    experiment_in,
    numbers,
    run,
)


@pytest.fixture(scope="module")
def every_step(tmp_path_factory):
    """An experiment that logged every step, with a save at 4 and at the end."""
    experiment = experiment_in(tmp_path_factory.mktemp("whole"), save_every=4)
    run(experiment)
    return experiment


def test_the_learning_rate_that_is_logged_is_that_of_the_update(every_step):
    rates = [0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert column(every_step, "learn_rate") == pytest.approx(dict(enumerate(rates, 1)))


def test_memory_of_the_data_does_not_count_as_that_of_training(tmp_path):
    class Large(Data):
        def training(self, first_step, share):
            self.held = np.ones(300 * 2**20, np.uint8)
            return super().training(first_step, share)

    experiment = experiment_in(tmp_path, num_steps=3, boundaries=(1, 2))
    run(experiment, Large())
    assert max(column(experiment, "peak_mb").values()) < 250


def test_averaged_weights_are_what_is_evaluated_and_kept_as_the_best(tmp_path):
    experiment = experiment_in(tmp_path, {"keep_best": True}, ema_decay=0.9)
    training = Training(experiment, Data().feed, alone())
    evaluated = training.evaluated_model.variables_by_storage_name
    for name, variable in training.optimizer.average.variables.items():
        assert evaluated[name] is variable
    found = run(experiment)
    model = experiment.make_model(1)
    restore_trained(experiment, model)
    data, options = Data(), experiment.options
    assert (
        Evaluations(data.feed, model, options)("validation", shows_progress=False)
        == found["validation"]
    )
    step = max(list_checkpoints(experiment.results))
    tensors = read_checkpoint(list_checkpoints(experiment.results)[step])
    for name, value in model.get_weights().items():
        np.testing.assert_array_equal(value, tensors[f"Model/{name}/{AVERAGE}"])
    assert not np.array_equal(model.get_weights()["Model/logit/w"], tensors["Model/logit/w"])
    best = max(list_checkpoints(experiment.results / BEST))
    assert f"Model/Model/logit/w/{AVERAGE}" in read_checkpoint(
        list_checkpoints(experiment.results / BEST)[best]
    )


def test_rows_are_means_over_their_own_steps(every_step, tmp_path):
    experiment = experiment_in(tmp_path, log_every=3)
    run(experiment)
    for name in ("train_ce", "train_acc"):
        each, logged = column(every_step, name), column(experiment, name)
        assert list(each) == [1, 2, 3, 4, 5, 6, 7] and list(logged) == [3, 6, 7]
        for last, steps in {3: (1, 2, 3), 6: (4, 5, 6), 7: (7,)}.items():
            mean = np.mean([each[step] for step in steps])
            assert logged[last] == pytest.approx(mean, rel=1e-6), name
    assert set(column(every_step, "train_acc").values()) <= {0, 25, 50, 75, 100}
    assert list(column(experiment, "learn_rate").values()) == pytest.approx([0.1, 0.001, 0.001])


def test_what_is_evaluated_and_saved_when(every_step):
    assert list(column(every_step, "valid_acc")) == [3, 6, 7]
    assert list(list_checkpoints(every_step.results)) == [4, 7]
    result = json.loads((every_step.results / RESULT).read_text())
    assert result["step"] == 7
    assert list(column(every_step, "eval_seconds")) == [3, 6, 7]
    assert result["evaluation_seconds"] == sum(column(every_step, "eval_seconds").values())
    assert result["commands"] == ["command"]
    assert {"commit", "versions", "machine"} <= result.keys()
    assert set(result["accuracy"]) == {"validation"}  # of the test images, nothing
    assert result["accuracy"]["validation"]["num_images"] == 10
    assert (
        result["parameters"]
        == resnet.models.Network(CONFIG, every_step.options.computation).num_parameters
    )


def test_a_restored_run_goes_on_where_it_was(every_step, tmp_path):
    short = experiment_in(tmp_path, {"max_num_steps": 4})
    run(short)
    data = Data()
    run(dataclasses.replace(short, options=every_step.options), data)
    assert data.first_steps == [4]
    wanted = column(every_step, "train_ce")
    assert column(short, "train_ce") == wanted
    one, other = (
        tf.train.load_checkpoint(list_checkpoints(e.results)[7]) for e in (every_step, short)
    )
    for name in one.get_variable_to_shape_map():  # momentum too
        np.testing.assert_array_equal(one.get_tensor(name), other.get_tensor(name), err_msg=name)


def test_a_damaged_checkpoint_is_named_with_the_one_before(every_step, tmp_path):
    experiment = experiment_in(tmp_path, {"max_num_steps": 6}, save_every=4)
    run(experiment)
    last = experiment.results / "model.ckpt-6.index"
    content = last.read_bytes()
    last.write_bytes(content[:50])
    on = dataclasses.replace(experiment, options=every_step.options)
    with pytest.raises(UserError, match=r"model.ckpt-6 cannot be .* or give --restore_step 4,"):
        run(on)
    assert set_aside(experiment.results, 4) == experiment.results / "set_aside-1"
    assert (experiment.results / "set_aside-1" / last.name).read_bytes() == content[:50]
    run(on)
    assert_same_checkpoint(*(list_checkpoints(e.results)[7] for e in (experiment, every_step)))
    assert column(experiment, "train_ce") == column(every_step, "train_ce")
    assert set_aside(experiment.results, 7, [BEST]) is None
    assert set_aside(experiment.results, 5) == experiment.results / "set_aside-2"


def test_what_is_past_its_end_on_the_way_to_a_later_one_leaves_no_record(every_step, tmp_path):
    options = {"max_num_steps": 5, "keep_best": True}
    experiment = experiment_in(tmp_path, options, save_every=4)
    run(experiment)
    record = (experiment.results / RESULT).read_bytes()
    best = (experiment.results / BEST / RESULT).read_bytes()
    run(dataclasses.replace(experiment, options=every_step.options))
    (experiment.results / RESULT).write_bytes(record)  # as if killed before the later end
    (experiment.logs / "valid_acc.csv").unlink()
    accuracies = run(experiment)
    assert accuracies["validation"].num_images == 10
    assert (experiment.results / RESULT).read_bytes() == record
    assert (experiment.results / BEST / RESULT).read_bytes() == best
    assert column(experiment, "valid_acc") == {}


@pytest.mark.parametrize("best", [0, 6])
def test_going_back_sets_a_later_best_aside(every_step, tmp_path, best, capsys):
    experiment = experiment_in(tmp_path, save_every=4)
    for step in (4, best):
        folder = experiment.results / BEST if step == best else experiment.results
        folder.mkdir(exist_ok=True)
        for suffix in (".index", ".data-00000-of-00001"):
            source = every_step.results / f"model.ckpt-4{suffix}"
            shutil.copy(source, folder / f"model.ckpt-{step}{suffix}")
    (experiment.results / RESULT).write_text("{}")
    go_back(experiment, 4)
    assert (experiment.results / RESULT).exists() and list_checkpoints(experiment.results)
    assert (experiment.results / "set_aside-1" / BEST).exists() == (best == 6)
    assert (experiment.results / BEST).exists() == (best == 0)
    assert ("later checkpoints are in" in capsys.readouterr().out) == (best == 6)


@pytest.mark.parametrize(
    "damage",
    [
        {"seconds": None},
        {"first_step": "a"},
        {"first_step": math.inf},
        {"first_step": 4},
        {"values": {"train_ce": []}},
    ],
)
def test_a_damaged_window_is_none(tmp_path, damage):
    experiment = experiment_in(tmp_path, {"max_num_steps": 5}, log_every=3)
    run(experiment)
    path = experiment.logs / OPEN_WINDOW
    kept = json.loads(path.read_text())["5"] | {"first_step": 3, "seconds": 1.0}
    kept["values"] = {name: [0.0, 0.0] for name in kept["values"]}
    for content in ({"5": kept}, kept | {"step": 5}):  # the latter of earlier versions
        path.write_text(json.dumps(content))
        window = Window(5, _kept_window(path, 5))
        assert window.first_step == 3 and len(window.read()["train_ce"]) == 2
        assert _kept_window(path, 4) is None
    for content in ({"5": kept | damage}, kept | {"step": 5} | damage, [kept], {"5": None}):
        path.write_text(json.dumps(content))
        assert _kept_window(path, 5) is None and Window(5, None).first_step == 5


def test_the_due_checkpoint_is_saved_though_a_log_cannot_be(tmp_path, monkeypatch):
    experiment = experiment_in(tmp_path, save_every=3, log_every=1)
    write = Logs.write

    def full(self, name, step, value):
        if step == 3:
            raise UserError("no space")
        write(self, name, step, value)

    monkeypatch.setattr(Logs, "write", full)
    with pytest.raises(UserError, match="no space"):
        run(experiment)
    assert list(list_checkpoints(experiment.results)) == [3]


@pytest.mark.parametrize("count", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_restarts_leave_what_none_would(count, tmp_path, monkeypatch):
    """Logs, but for times and memory, and every tensor; stopped also between rows."""
    num_steps = count + 2
    changes = {"num_steps": num_steps, "log_every": 3, "evaluate_every": 4, "save_every": 5}
    changes |= {"optimizer": "muon"}
    whole = experiment_in(tmp_path / "whole", **changes)
    run(whole)
    parts = experiment_in(tmp_path / "parts", **changes)
    advance = Training.advance

    def interrupted(self, count, batch=None):
        signal.raise_signal(signal.SIGTERM)
        return advance(self, count, batch)

    monkeypatch.setattr(Training, "advance", interrupted)
    for step in range(1, count + 1):
        with pytest.raises(InterruptedRunError, match=f"stopped at step {step}, which is saved"):
            run(parts)
    monkeypatch.undo()
    run(parts)
    for name in ("train_ce", "train_acc", "learn_rate", "past_exact_range", "valid_acc"):
        assert column(parts, name) == column(whole, name), name
    for name in ("step_seconds", "peak_mb", "eval_seconds"):
        assert list(column(parts, name)) == list(column(whole, name)), name
    assert_same_checkpoint(*(list_checkpoints(e.results)[num_steps] for e in (whole, parts)))
    results = [json.loads((e.results / RESULT).read_text()) for e in (whole, parts)]
    assert results[0]["accuracy"] == results[1]["accuracy"]
    assert len(results[1]["commands"]) == count + 1


@pytest.mark.parametrize("count", [2, 10])
def test_several_updates_a_call_are_the_same_ones(every_step, tmp_path, count, monkeypatch):
    counts = []
    advance = Training.advance

    def counted(self, count, batch=None):
        counts.append(count)
        return advance(self, count, batch)

    monkeypatch.setattr(Training, "advance", counted)
    changes = {"log_every": 5, "evaluate_every": 4}
    experiment = experiment_in(tmp_path, {"steps_per_call": count}, **changes)
    run(experiment)
    # Up to the evaluation at 4, the log row at 5, and the end; the rate changes on the way.
    assert counts == {2: [2, 2, 1, 2], 10: [4, 1, 2]}[count]
    each, logged = column(every_step, "train_ce"), column(experiment, "train_ce")
    mean = np.mean([each[step] for step in range(1, 6)])
    assert logged == pytest.approx({5: mean, 7: np.mean([each[6], each[7]])}, rel=1e-6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_after_the_running_step(tmp_path, monkeypatch, number):
    experiment = experiment_in(tmp_path, num_steps=30)
    advance = Training.advance

    def interrupted(self, count, batch=None):
        if self.step == 3:
            signal.raise_signal(number)
        return advance(self, count, batch)

    monkeypatch.setattr(Training, "advance", interrupted)
    before = signal.signal(number, lambda *_: pytest.fail("nobody takes the signal"))
    try:
        with pytest.raises(InterruptedRunError, match="stopped at step 4, which is saved") as found:
            run(experiment)
    finally:
        signal.signal(number, before)
    assert found.value.exit_code == 128 + number
    assert list(list_checkpoints(experiment.results)) == [4]


def test_a_hangup_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_requests() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_evaluation_that_two_stops_kept_from_being_made_is_made(every_step, tmp_path):
    experiment = experiment_in(tmp_path, save_every=4)

    class StopsInEvaluation(Data):
        def evaluation(self):
            stop.handle(signal.SIGTERM, None)
            return super().evaluation()

    for _ in range(3):
        stop = StopRequest()
        with pytest.raises(InterruptedRunError, match="stopped at step 3, which is saved"):
            run(experiment, StopsInEvaluation(), stop=stop)
    run(experiment)
    assert column(experiment, "valid_acc") == column(every_step, "valid_acc")


def test_a_plain_look_leaves_what_is_known_of_mirror_images(tmp_path):
    experiment = experiment_in(tmp_path, {"test_time_flip": True, "max_num_steps": 2})
    run(experiment)
    path = experiment.results / RESULT
    record = json.loads(path.read_text())["accuracy"]["validation"]
    assert "flipped_top1" in record
    plain = dataclasses.replace(experiment.options, test_time_flip=False)
    run(dataclasses.replace(experiment, options=plain))
    assert json.loads(path.read_text())["accuracy"]["validation"] == record
    few = dataclasses.replace(plain, eval_images=4)
    run(dataclasses.replace(experiment, options=few))
    assert json.loads(path.read_text())["accuracy"]["validation"] == record


def test_a_new_experiment_that_fails_at_its_first_log_leaves_nothing(tmp_path):
    experiment = experiment_in(tmp_path)
    shutil.rmtree(tmp_path / "results")
    with pytest.raises(OSError, match="full"), removed_if_it_fails(experiment):
        (experiment.logs / "eval").mkdir(parents=True)
        raise OSError("full")
    assert not experiment.results.exists() and not experiment.logs.exists()
    experiment.logs.mkdir(parents=True)  # another's, perhaps
    with pytest.raises(OSError, match="full"), removed_if_it_fails(experiment):
        raise OSError("full")
    assert not experiment.results.exists() and experiment.logs.exists()


def test_a_signal_of_before_the_first_step_counts(tmp_path):
    experiment, stop = experiment_in(tmp_path, num_steps=30), StopRequest()
    stop.handle(signal.SIGINT, None)
    with pytest.raises(InterruptedRunError, match=r"stopped at step 1, which is saved"):
        run(experiment, stop=stop)


class SaysStop:
    """Stands for an Agreement: another host was asked to stop, this one was not."""

    def __init__(self, placement):
        self.asked = []

    def require_same_start(self, *_):
        pass

    def any_host(self, flag):
        assert flag is False
        self.asked.append(flag)
        return len(self.asked) == 2


def test_a_host_stops_when_another_one_was_asked_to(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "Agreement", SaysStop)
    experiment = experiment_in(tmp_path, num_steps=30)
    with pytest.raises(InterruptedRunError, match="stopped at step 20, which is saved"):
        run(experiment, hosts=Hosts(("a:1", "b:1"), 0))
    assert list(list_checkpoints(experiment.results)) == [20]


def test_hosts_that_are_not_the_chief_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(SaysStop, "any_host", lambda self, flag: False)
    monkeypatch.setattr(train, "Agreement", SaysStop)
    experiment, data = experiment_in(tmp_path), Data()
    before = sorted(tmp_path.rglob("*"))
    run(experiment, data, Hosts(("a:1", "b:1"), 1))
    assert sorted(tmp_path.rglob("*")) == before
    (share,) = data.shares
    assert (share.num_hosts, share.host, share.batch_size) == (2, 1, BATCH_SIZE // 2)
    assert share.step_size == BATCH_SIZE


def test_old_checkpoints_go_the_best_one_stays(tmp_path):
    options = {"keep_checkpoints": 2, "keep_best": True}
    experiment = experiment_in(tmp_path, options, save_every=2, evaluate_every=1)
    run(experiment)
    assert list(list_checkpoints(experiment.results)) == [6, 7]
    accuracies = column(experiment, "valid_acc")
    best = max(accuracies, key=accuracies.get)  # the first of equal ones
    assert list(list_checkpoints(experiment.results / BEST)) == [best]


def test_the_best_is_replaced_by_a_better_one_alone(tmp_path):
    experiment = experiment_in(tmp_path)
    training = Training(experiment, Data().feed, alone())
    kept = []
    # Of more images, one counts more than any of fewer.
    found = [(50.0, 9), (40.0, 9), (50.0, 9), (60.0, 9), (70.0, 8), (30.0, 10), (99.0, 9)]
    for step, (accuracy, num_images) in enumerate(found, 1):
        training.step = step
        training.save_if_best(Accuracy(accuracy, 100.0, num_images))
        kept.append(list(list_checkpoints(experiment.results / BEST)))
    assert kept == [[1], [1], [1], [4], [4], [6], [6]]
    path = experiment.results / BEST / RESULT
    content = {"step": 6, "accuracy": 30.0, "num_images": 10}
    assert json.loads(path.read_text()) == content
    del content["num_images"]  # as of long ago
    path.write_text(json.dumps(content))
    for step, accuracy, best in ((8, 29.0, 6), (9, 31.0, 9)):
        training.step = step
        training.save_if_best(Accuracy(accuracy, 100.0, 2))
        assert list(list_checkpoints(experiment.results / BEST)) == [best]


def test_a_look_at_a_finished_run_changes_neither_its_best_nor_its_record(tmp_path, monkeypatch):
    experiment = experiment_in(tmp_path, {"keep_best": True})
    run(experiment)
    kept = {p: p.read_bytes() for p in experiment.results.rglob("*") if p.is_file()}
    result = json.loads((experiment.results / RESULT).read_text())
    assert result["accuracy"]["validation"]["num_images"] == 10
    monkeypatch.setattr(train, "provenance", lambda *_: {"machine": "another", "commit": "later"})
    few = dataclasses.replace(
        experiment, options=dataclasses.replace(experiment.options, eval_images=1)
    )
    run(few)
    assert {p: p.read_bytes() for p in experiment.results.rglob("*") if p.is_file()} == kept
    flips = dataclasses.replace(experiment.options, test_time_flip=True)
    run(dataclasses.replace(experiment, options=flips))  # of as many images: what is new counts
    again = json.loads((experiment.results / RESULT).read_text())
    assert again["accuracy"]["validation"].keys() - result["accuracy"]["validation"].keys() == {
        "flipped_top1",
        "flipped_top5",
    }
    assert again | {"accuracy": None} == result | {"accuracy": None}


def test_the_record_of_an_earlier_end_is_not_that_of_a_later_one(tmp_path):
    """A run that went on behind its end, and was stopped at its last evaluation."""
    experiment = experiment_in(tmp_path, {"keep_best": True, "max_num_steps": 3})
    run(experiment)
    options = dataclasses.replace(experiment.options, max_num_steps=5)
    longer = dataclasses.replace(experiment, options=options)
    run(longer)
    path = experiment.results / RESULT
    earlier = json.loads(path.read_text()) | {"step": 3, "training_seconds": 0.25}
    path.write_text(json.dumps(earlier))
    shutil.rmtree(experiment.results / BEST)
    run(longer)
    assert list(list_checkpoints(experiment.results / BEST)) == [5]
    again = json.loads(path.read_text())
    assert again["step"] == 5 and again["training_seconds"] != 0.25


@pytest.mark.parametrize("content", ["{}", "[", '{"step": 1, "accuracy": "much"}'])
def test_a_damaged_record_of_the_best_is_said(tmp_path, capsys, content):
    experiment = experiment_in(tmp_path)
    training = Training(experiment, Data().feed, alone())
    training.step = 1
    training.save_if_best(Accuracy(50.0, 100.0, 9))
    (experiment.results / BEST / RESULT).write_text(content)
    training.step = 2
    training.save_if_best(Accuracy(40.0, 100.0, 9))
    assert "is damaged: the best counts from now on" in capsys.readouterr().out
    assert list(list_checkpoints(experiment.results / BEST)) == [2]


@pytest.mark.parametrize("nesterov", [False, True])
def test_updates_are_those_of_the_configs_momentum(tmp_path, nesterov):
    experiment = experiment_in(tmp_path, nesterov=nesterov, momentum=0.5, boundaries=(1, 2))
    training, data = Training(experiment, Data().feed, alone()), Data()
    model = training.model
    momentum = dict.fromkeys(model.trainable_by_storage_name, 0.0)
    for (images, labels), rate in zip(
        data.training(0, training.share).take(2), (0.1, 0.01), strict=True
    ):
        assert training.learning_rate == rate
        gradients = tf.function(model.forward_and_backward)(images, labels)["gradients"]
        before = {n: v.numpy() for n, v in model.trainable_by_storage_name.items()}
        training.advance(1, (images, labels))
        for name, variable in model.trainable_by_storage_name.items():
            g = gradients[name].numpy()
            m = momentum[name] = 0.5 * momentum[name] + g
            wanted = before[name] - rate * (g + 0.5 * m if nesterov else m)
            np.testing.assert_allclose(variable, wanted, rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_first_images_are_evaluated_where_a_limit_is_given():
    data, model = Data(), resnet.get_model(CONFIG)
    images, labels = numbers(99, 10)
    best = np.argmax(model(images).numpy(), axis=1) == labels
    for limit in (None, 1, 4, 7, 12):
        options = types.SimpleNamespace(eval_images=limit, test_time_flip=False)
        found = Evaluations(data.feed, model, options)("test", shows_progress=False)
        assert found.num_images == min(limit or 10, 10)
        assert found.top1 == pytest.approx(100 * np.mean(best[:limit]))


def test_no_thread_tunes_what_is_trained_and_evaluated_on(tmp_path):
    """Freeing an iterator would wait for it, now and then for up to a minute."""
    training, seen = Training(experiment_in(tmp_path), Data().feed, alone()), []

    class Strategy:
        def distribute_datasets_from_function(self, make):
            seen.append(make(None))
            return seen[-1]

    training.placement = dataclasses.replace(training.placement, strategy=Strategy())
    training.next_batch()
    evaluation = Evaluation(lambda images: tf.reshape(images, [-1, SIDE * SIDE * 3]))
    evaluation._dealt = lambda batches: seen.append(batches) or batches
    evaluation(Data().evaluation())
    assert [dataset.options().autotune.enabled for dataset in seen] == [False, False]


def test_hooks_and_the_last_step():
    often, never_last = Hook(3, None, at_end=True), Hook(3, None, at_end=False)
    assert [step for step in range(1, 8) if often.is_due(step, 7)] == [3, 6, 7]
    assert [step for step in range(1, 7) if never_last.is_due(step, 6)] == [3]


def test_gradients_are_checked_every_so_many_steps(tmp_path):
    config = dataclasses.replace(resnet.get_config("revnet-test"), units=(1, 2), batch_size=4)
    changes = vars(config) | {"num_steps": 5, "log_every": 5, "evaluate_every": 100}
    options = {"backprop": "reversible", "exact": True, "check_gradients_every": 2}
    options["steps_per_call"] = 10
    experiment = experiment_in(tmp_path, options, **changes)
    run(experiment)
    # Of the steps that follow 0, 2 and 4 updates.
    assert column(experiment, "gradient_angle") == {1: 0, 3: 0, 5: 0}
    assert list(column(experiment, "train_ce")) == [5]


def test_a_run_ends_at_the_earlier_of_two_ends(tmp_path):
    for limit, wanted in ((None, 7), (3, 3), (7, 7), (100, 7)):
        assert experiment_in(tmp_path, {"max_num_steps": limit}).num_steps == wanted
