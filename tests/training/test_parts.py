"""Parts of a batch: passes and replicas draw their own values, counts are over all of them."""

import dataclasses
import json
import types

import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.data.feed import Feed
from resnet.errors import DataError
from resnet.training import hosts
from resnet.training.hosts import Agreement
from resnet.training.optimizer import make_optimizer
from resnet.training.placement import Hosts, Placement, find_hosts
from resnet.training.state import Training
from resnet.training.steps import PART_SEEDS, STEP_SEEDS, Steps
from resnet.weights.checkpoint_format import MOMENTUM


def steps_of(model, **options):
    return Steps(model, make_optimizer(model), **options)


def test_every_step_pass_and_replica_has_a_seed_of_its_own(monkeypatch):
    config = dataclasses.replace(resnet.get_config("resnet-test"), dropout=0.3, seed=5)
    steps = steps_of(resnet.get_model(config), num_passes=3)
    seen = {}
    for replica in range(3):
        context = types.SimpleNamespace(replica_id_in_sync_group=tf.constant(replica))
        monkeypatch.setattr(tf.distribute, "get_replica_context", lambda c=context: c)
        for step in (7, 8):
            first, part = steps.seed_of(tf.constant(step, tf.int64)).numpy()
            assert first == 5 * STEP_SEEDS + step
            seen |= {(step, replica, i): (first, part + i * PART_SEEDS) for i in range(3)}
    assert len(set(seen.values())) == len(seen) == 3 * 2 * 3
    assert seen[7, 2, 1] == (5 * STEP_SEEDS + 7, (2 * 3 + 1) * PART_SEEDS)
    assert steps.seed_of(None) is None


def test_values_past_the_exact_range_are_counted_over_all_passes():
    config = dataclasses.replace(resnet.get_config("revnet-test"), units=(1, 2))
    rng = np.random.default_rng(0)
    images = rng.standard_normal([6, 8, 8, 3], np.float32)
    labels = rng.integers(0, 10, 6, np.int32)

    def grown():
        model = resnet.get_model(config)
        weights, name = model.get_weights(), "Model/unit_2_1/f/sub2/conv2/w"
        model.set_weights(weights | {name: weights[name] * 1e4})
        return model

    one_by_one = [
        float(
            grown().forward_and_backward(images[i : i + 2], labels[i : i + 2])["past_exact_range"]
        )
        for i in (0, 2, 4)
    ]
    assert min(one_by_one) > 0
    metrics = steps_of(grown(), num_passes=3).train(
        tf.constant(images), tf.constant(labels), tf.constant(0.1)
    )
    assert float(metrics["past_exact_range"]) == sum(one_by_one)


def test_passes_train_as_the_mean_of_their_parts():
    """In one process; replicas.py has the same for replicas, and in more detail."""
    config = dataclasses.replace(resnet.get_config("resnet-test"), image_size=8, units=(1,) * 3)
    rng = np.random.default_rng(0)
    images = rng.standard_normal([6, 8, 8, 3], np.float32)
    labels = rng.integers(0, 10, 6, np.int32)
    model = resnet.get_model(config)
    results = [
        tf.function(model.forward_and_backward)(images[i : i + 2], labels[i : i + 2])
        for i in (0, 2, 4)
    ]
    before = {n: v.numpy() for n, v in model.statistics_by_storage_name.items()}
    steps = steps_of(model, num_passes=3)
    metrics = steps.train(tf.constant(images), tf.constant(labels), tf.constant(0.1))
    losses = [float(result["loss"]) for result in results]
    assert float(metrics["train_ce"]) == pytest.approx(np.mean(losses), rel=1e-5)
    for name, slot in steps.optimizer.slots[MOMENTUM].items():  # after one step, the gradient
        wanted = np.mean([result["gradients"][name] for result in results], axis=0)
        np.testing.assert_allclose(slot, wanted, rtol=1e-3, atol=1e-5, err_msg=name)
    for name, variable in model.statistics_by_storage_name.items():
        mean = np.mean([result["statistics"][name] for result in results], axis=0)
        wanted = 0.99 * before[name] + 0.01 * mean
        np.testing.assert_allclose(variable, wanted, rtol=1e-4, atol=1e-6, err_msg=name)


class TwoHosts(Agreement):
    """An Agreement of two hosts of two replicas each, of which this process is both."""

    def __init__(self, others):
        strategy = tf.distribute.get_strategy()
        super().__init__(Placement(strategy, ("/cpu:0", "/cpu:1"), Hosts(("a:1", "b:1"), 0)))
        self.others, self.own, self._gather = others, None, self._both

    def _both(self, values):
        self.own = values.numpy().tolist()
        others = self.own if self.others is None else self.others
        return tf.constant([self.own] * 2 + [others] * 2, tf.int64)


def test_one_host_that_is_asked_to_stop_is_enough():
    assert TwoHosts([1]).any_host(False) and TwoHosts([0]).any_host(True)
    assert not TwoHosts([0]).any_host(False)


@pytest.mark.parametrize("name", ["config", "options", "step", "weights"])
def test_hosts_must_agree_in_all_that_they_start_from(name):
    model = resnet.get_model("resnet-test")
    options = resnet.settings.RunOptions(dataset="synthetic", backprop="stored", exact=False)
    mine = types.SimpleNamespace(config=model.config, options=options)
    alike = TwoHosts(None)
    alike.require_same_start(mine, 3, model)
    assert len(set(alike.own)) == 4 and alike.own[2] == 3
    others = [
        value + (name == one)
        for one, value in zip(("config", "options", "step", "weights"), alike.own, strict=True)
    ]
    with pytest.raises(hosts.UserError, match=rf"the hosts differ in {name} \(they are at steps 3"):
        TwoHosts(others).require_same_start(mine, 3, model)


def test_which_errors_say_that_a_host_is_lost():
    def of(kind, text):
        return hosts.is_lost_host(kind(None, None, text))

    assert of(tf.errors.UnavailableError, "whatever")
    assert of(tf.errors.InternalError, "Collective ops is aborted")
    assert not of(tf.errors.InternalError, "CUDA error")
    assert not of(tf.errors.InvalidArgumentError, "collective")


def test_workers_are_counted_behind_the_chief(monkeypatch):
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    for kind, number, place in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        content = {"cluster": cluster, "task": {"type": kind, "index": number}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(content))
        found = find_hosts()
        assert (found.addresses, found.index) == (("a:1", "b:1", "c:1"), place)
        assert found.is_chief == (place == 0) and len(found) == 3
    monkeypatch.delenv("TF_CONFIG")
    assert find_hosts() == Hosts() and Hosts().is_chief


def test_only_where_images_are_taken_an_error_is_one_of_images():
    training = types.SimpleNamespace(
        placement=types.SimpleNamespace(hosts=Hosts()), _feed=Feed(None, {})
    )

    def fail(takes_images):
        with Training._naming_errors(training, takes_images):
            raise tf.errors.InvalidArgumentError(None, None, "of a kernel")

    with pytest.raises(DataError, match="cannot take the training images: of a kernel"):
        fail(takes_images=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="of a kernel"):
        fail(takes_images=False)
