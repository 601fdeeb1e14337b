"""Other projects' checkpoints whose graph of objects, or whose values, are damaged or made up."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

import resnet
from damage import damaged
from resnet.errors import UsageError
from resnet.models.network import Network
from resnet.settings import Computation
from resnet.weights.checkpoint_format import CheckpointError, read_checkpoint
from resnet.weights.sources import cifar_vs_tensorflow2, object_graph, read_source
from resnet.weights.sources.object_graph import GRAPH, KERAS_NAMES

CONFIG = dataclasses.replace(
    resnet.get_config("resnet20-v1"), units=(1, 1, 1), filters=(4, 8, 8), stem_filters=4
)
QUICK, FULL = 60, 2_000
SOURCE = "cifar-vs-tensorflow2"


@pytest.fixture(scope="module")
def network():
    return Network(CONFIG, Computation())


@pytest.fixture(scope="module")
def tensors(network, tmp_path_factory):
    """{name: array} of a checkpoint of the network as Keras writes it, graph and all."""
    layers = cifar_vs_tensorflow2._layers(network, False)
    tree = tf.train.Checkpoint()
    for i, layer in enumerate(layers):
        weights = {
            KERAS_NAMES[name.rpartition("/")[2]]: tf.Variable(np.ones(parameter.shape, np.float32))
            for name, parameter in network.parameters_by_name().items()
            if name.rpartition("/")[0] == layer
        }
        setattr(tree, f"layer_with_weights-{i}", tf.train.Checkpoint(**weights))
    return read_checkpoint(tree.write(str(tmp_path_factory.mktemp("sound") / "c")))


@pytest.fixture
def read(network, monkeypatch):
    """Function that reads a checkpoint of such tensors, a source's."""

    def of(tensors, source=SOURCE):
        # TensorFlow's own checksums would find damage in the files, but not in what is written.
        for module in (object_graph, "resnet.weights.sources.revnet_public"):
            monkeypatch.setattr(
                f"{getattr(module, '__name__', module)}.read_checkpoint", lambda _: dict(tensors)
            )
        return read_source(source, network, "the/prefix")

    return of


def attack(tensors, read, count):
    """How often damage of the graph was named; weights are what they were, or it is."""
    wanted, named = read(tensors).weights, 0
    for what, content in damaged(tensors[GRAPH], count):
        try:
            found = read(tensors | {GRAPH: content}).weights
        except CheckpointError as error:
            assert "the/prefix" in str(error), what
            named += 1
            continue
        assert found.keys() == wanted.keys(), what
        assert all(found[name].shape == wanted[name].shape for name in wanted), what
    return named


def test_a_damaged_graph_is_named(tensors, read):
    assert attack(tensors, read, QUICK) > QUICK // 2


@pytest.mark.faults_full
def test_a_thousand_damaged_graphs(tensors, read):
    assert attack(tensors, read, FULL) > FULL // 2


def changed(tensors, change):
    graph = TrackableObjectGraph.FromString(tensors[GRAPH])
    change(graph.nodes)
    return tensors | {GRAPH: graph.SerializeToString()}


@pytest.mark.parametrize(
    "change",
    [
        lambda nodes: setattr(nodes[0].children[0], "node_id", 10**6),
        lambda nodes: setattr(nodes[0].children[0], "node_id", -1),
        lambda nodes: [node.ClearField("attributes") for node in nodes],
        lambda nodes: [setattr(a, "checkpoint_key", "x") for n in nodes for a in n.attributes],
        lambda nodes: [n.attributes.extend(list(n.attributes)) for n in nodes],
        lambda nodes: nodes.__delitem__(slice(None)),
        lambda nodes: nodes.__delitem__(slice(1, None)),
    ],
    ids=["no such object", "negative", "no values", "no such value", "twice", "empty", "root only"],
)
def test_a_graph_that_makes_no_sense_is_named(tensors, read, change):
    with pytest.raises(CheckpointError, match="the/prefix is damaged: its graph of objects"):
        read(changed(tensors, change))
    with pytest.raises(CheckpointError, match=r"the/prefix (is damaged|has no counterpart)|eager"):
        read(changed(tensors, change), "tf-eager-revnet")


def test_values_that_are_no_numbers_are_named(tensors, read):
    key = next(name for name in tensors if name.endswith("kernel/.ATTRIBUTES/VARIABLE_VALUE"))
    for value in (np.array("text", object), np.full(tensors[key].shape, b"x", object), b"text"):
        with pytest.raises(CheckpointError, match=r"layer_with.* holds no numbers"):
            read(tensors | {key: value})
    with pytest.raises(CheckpointError, match="cannot be read"):
        read(tensors | {GRAPH: np.ones(3)})


@pytest.mark.parametrize("step", [b"text", np.ones(3, np.int64), np.int64(-1), np.float32(1.5)])
def test_a_step_that_is_none_is_named(read, step):
    with pytest.raises(CheckpointError, match="the/prefix is damaged: its step is no whole number"):
        read({"Model/global_step": step}, "revnet-public")


def test_weights_of_another_type_change_nothing():
    model = resnet.get_model(CONFIG)
    before = model.get_weights()
    last = list(before)[-1]
    for value in (np.full(before[last].shape, b"x", object), before[last].astype(complex)):
        with pytest.raises(UsageError, match=rf"{last} is of type \w+, but must be of real"):
            model.set_weights({n: v + 1 for n, v in before.items()} | {last: value})
    for name, value in model.get_weights().items():
        np.testing.assert_array_equal(value, before[name])
