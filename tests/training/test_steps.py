"""Steps on several replicas, and the optimizer's arithmetic."""

import pathlib
import signal

import numpy as np
import pytest
import tensorflow as tf

import resnet
from graph_nodes import nodes_in, shapes_of
from images import make_shards
from processes import host_environment, run_file, start_quickly
from resnet.training.evaluation import Evaluation
from resnet.training.interrupts import StopRequest
from resnet.training.momentum import Momentum
from resnet.training.optimizer import make_optimizer
from resnet.training.steps import Steps


@pytest.mark.parametrize(
    ("replicas", "passes", "jit"), [(2, 1, False), (1, 4, False), (1, 1, True), (2, 1, True)]
)
def test_gradients_are_the_mean_over_replicas_and_passes(replicas, passes, jit):
    script = pathlib.Path(__file__).with_name("replicas.py")
    assert "largest relative error" in run_file(script, replicas, passes, int(jit))


def test_on_one_device_xla_compiles_all_of_a_step():
    model = resnet.get_model("resnet-test")
    steps = Steps(model, make_optimizer(model), jit=True)
    images = tf.TensorSpec([4, 32, 32, 3]), tf.TensorSpec([4], tf.int32)
    graph = steps.train.get_concrete_function(*images, tf.TensorSpec([])).graph
    compiled = {
        op.name: op for op in graph.get_operations() if "_XlaMustCompile" in op.node_def.attr
    }
    assert len(compiled) == 3  # gradients, their norms, the update
    left = {op.type for op in graph.get_operations() if op.name not in compiled}
    assert not {kind for kind in left if kind.startswith(("Conv", "Assign", "MatMul"))}, left


@pytest.mark.parametrize(
    "name",
    ["revnet-test", "revnet-btl-test", "resnet-test", "resnet20-v2", "irevnet-38", "vgg-11"],
)
def test_timing_does_not_change_the_order_of_a_sum(name):
    """AddN adds first the tensor whose memory it may reuse: of three, the one that is free."""
    model = resnet.get_model(name)
    steps = Steps(model, make_optimizer(model))
    size = model.config.image_size
    batch = tf.TensorSpec([4, size, size, 3]), tf.TensorSpec([4], tf.int32)
    nodes = nodes_in(steps.train.get_concrete_function(*batch, tf.TensorSpec([])).graph)
    sums = [node for node in nodes if node.op == "AddN"]
    # Scalars are numbers of values past the exact range, of which every sum is exact.
    assert {shape for n in sums if n.attr["N"].i > 2 for shape in shapes_of(n)} <= {()}


def test_two_hosts_keep_the_same_weights(tmp_path, free_ports):
    shards = make_shards(tmp_path)
    script, outputs = pathlib.Path(__file__).with_name("hosts.py"), []
    hosts = []
    for i in (0, 1):
        outputs.append(tmp_path / f"{i}.npz")
        cluster = host_environment(i, free_ports)
        hosts.append(start_quickly(str(script), shards, outputs[i], environment=cluster))
    errors = [host.communicate(timeout=120)[1] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], errors
    one, other = (dict(np.load(output)) for output in outputs)
    # Images of their own, hence gradients of their own.
    assert not np.array_equal(one.pop("labels"), other.pop("labels"))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_is_the_papers(nesterov):
    variable = tf.Variable([1.0, 2.0])
    optimizer = Momentum({"w": variable}, momentum=0.9, nesterov=nesterov)
    gradients = [np.array([1.0, -1.0]), np.array([0.5, 2.0])]
    weights, momentum = np.array([1.0, 2.0]), np.zeros(2)
    for gradient in gradients:
        optimizer({"w": tf.constant(gradient, tf.float32)}, tf.constant(0.1))
        momentum = 0.9 * momentum + gradient
        weights = weights - 0.1 * (gradient + 0.9 * momentum if nesterov else momentum)
    np.testing.assert_allclose(variable, weights, rtol=1e-6)
    np.testing.assert_allclose(optimizer.slots["Momentum"]["w"], momentum, rtol=1e-6)


def test_an_evaluation_can_be_stopped():
    stop = StopRequest()

    def batches(stops_at):
        def generate():
            for number in range(3):
                if number == stops_at:
                    stop.handle(signal.SIGTERM, None)
                yield np.zeros([4, 32, 32, 3], np.float32), np.zeros(4, np.int32)

        specs = tf.TensorSpec([4, 32, 32, 3]), tf.TensorSpec([4], tf.int32)
        return tf.data.Dataset.from_generator(generate, output_signature=specs)

    evaluation = Evaluation(resnet.get_model("resnet-test"))
    assert evaluation(batches(None), stop).num_images == 12
    assert evaluation(batches(1), stop) is None
