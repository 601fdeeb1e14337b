"""Updates inside the backward pass: the same bits, and no stack of gradients anywhere."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import resnet
from graph_nodes import nodes_in, shapes_of
from processes import assert_same_checkpoint
from resnet.settings import RunOptions, SettingError
from resnet.training.fused import FusedUpdate, require_no_other_use_of_gradients
from resnet.training.optimizer import make_optimizer
from resnet.training.steps import NORMS, Steps
from resnet.weights.checkpoint import list_checkpoints
from resnet.weights.checkpoint_format import MOMENTUM
from small_training import experiment_in, run

CONFIG = dataclasses.replace(resnet.get_config("revnet-test"), units=(4, 3))
WHOLE = dataclasses.replace(
    resnet.get_config("irevnet-38"), image_size=8, units=(3, 2, 2), inner_filters=(4, 8, 6)
)


def steps_of(config, fuses, **computation):
    model = resnet.get_model(config, memory_budget=0, **computation)
    optimizer = make_optimizer(model)
    fused = FusedUpdate(model, optimizer.update) if fuses else None
    return Steps(model, optimizer, fused=fused)


def batch(seed):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal([6, 8, 8, 3]).astype(np.float32)
    return tf.constant(images), tf.constant(rng.integers(0, 10, 6), tf.int32)


@pytest.mark.parametrize(
    ("config", "loop", "nesterov"),
    [(CONFIG, "off", True), (CONFIG, "on", False), (WHOLE, "on", True)],
    ids=["against-unrolled-nesterov", "against-loop-heavy-ball", "irevnet-nesterov"],
)
def test_the_bits_are_those_of_an_update_apart(config, loop, nesterov):
    config = dataclasses.replace(config, nesterov=nesterov, weight_decay=0.01, dropout=0.2)
    found = []
    for fuses in (False, True):
        steps = steps_of(config, fuses, loop=loop)
        metrics = [
            steps.train(*batch(i), tf.constant(0.1), tf.constant(i, tf.int64)) for i in range(3)
        ]
        model, slots = steps.model, steps.optimizer.slots[MOMENTUM]
        values = model.get_weights() | {f"{name}/m": v.numpy() for name, v in slots.items()}
        found.append((values, metrics))
    (apart, metrics_apart), (fused, metrics) = found
    assert any("unit_1_2" in name for name in apart)
    for name, value in apart.items():
        np.testing.assert_array_equal(fused[name], value, err_msg=name)
    for one, other in zip(metrics, metrics_apart, strict=True):
        norms, norms_apart = one.pop(NORMS), other.pop(NORMS)
        np.testing.assert_allclose(norms, norms_apart, rtol=1e-5)
        assert {n: float(v) for n, v in one.items()} == {n: float(v) for n, v in other.items()}


def shapes_in(graph):
    """Shapes of all that is computed in a graph and its functions, variables' values aside."""
    nodes = [n for n in nodes_in(graph) if n.op not in ("ReadVariableOp", "Placeholder")]
    return [shape for node in nodes for shape in shapes_of(node)]


def test_gradients_of_units_are_never_there_at_once():
    def traced(fuses):
        steps = steps_of(CONFIG, fuses, loop="on")
        rate, step = tf.constant(0.1), tf.constant(0, tf.int64)
        graph = steps.train.get_concrete_function(*batch(0), rate, step).graph
        stack = steps.model.trainable_by_storage_name["stage_1/units/f/sub1/conv1/w"]
        return tuple(stack.shape), shapes_in(graph)

    stack, shapes = traced(False)
    assert stack == (3, 3, 3, 8, 8) and shapes.count(stack) >= 1
    stack, shapes = traced(True)
    assert shapes.count(stack) == 0 and shapes.count(stack[1:]) > 2


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"optimizer": "muon"}, {}, "optimizer 'muon'"),
        ({"global_clipnorm": 1.0}, {}, "clipping by the norm of all gradients"),
        ({"decoupled_weight_decay": True}, {}, "weight decay apart from the gradient"),
        ({}, {"num_pass": 2}, "more than one pass"),
        ({}, {"nan_policy": "skip"}, "updates that wait for all gradients"),
        ({}, {"check_gradients_every": 5}, "checks of gradients"),
        ({}, {"jit": "on"}, "XLA"),
        ({}, {"backprop": "stored"}, "backprop 'stored', which keeps activations"),
        ({}, {"memory_budget": 1000}, "a memory budget"),
    ],
)
def test_what_needs_all_gradients_is_refused(changes, options, message):
    config = dataclasses.replace(CONFIG, **changes)
    options = RunOptions(**({"dataset": "synthetic", "backprop": "reversible"} | options))
    given = {name: getattr(options, name) for name in ("backprop", "memory_budget")}
    computation = resnet.get_model(config, **given).computation
    wanted = f"a fused update does not go with {message}.*: leave one of them out"
    with pytest.raises(SettingError, match=wanted) as caught:
        require_no_other_use_of_gradients(config, options, computation, options.jit == "on", 1)
    assert caught.value.keys[0] == "fused_update"
    with pytest.raises(SettingError, match="replicas, whose gradients are averaged"):
        require_no_other_use_of_gradients(
            CONFIG, RunOptions(dataset="synthetic"), resnet.get_model(CONFIG).computation, False, 2
        )


def test_a_run_goes_on_without_it(tmp_path):
    changes = vars(CONFIG) | {"num_steps": 6, "batch_size": 4, "save_every": 3, "log_every": 3}
    options = {"backprop": "reversible", "exact": True}
    whole = experiment_in(tmp_path / "whole", options, **changes)
    run(whole)
    place = tmp_path / "half"
    run(experiment_in(place, options | {"fused_update": True, "max_num_steps": 3}, **changes))
    half = experiment_in(place, options, **changes)
    run(half)
    assert_same_checkpoint(*(list_checkpoints(one.results)[6] for one in (whole, half)))
