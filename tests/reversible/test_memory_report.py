"""Memory explained: what is kept and why, the peak, and what keeps memory from going down."""

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet
import resnet.reversible.memory_figures as figures
from resnet import reversible
from resnet.commands.allocator import environment_of
from resnet.reversible.liveness import Liveness
from resnet.training.optimizer import make_optimizer
from resnet.training.step_memory import step_report
from resnet.training.steps import Steps

L = keras.layers
MB = 2**20


def residual():
    return keras.Sequential([L.Conv2D(16, 3, padding="same"), L.BatchNormalization(), L.ReLU()])


def network(units=4, **options):
    """A convolution, and units on 32 channels of 32x32 pixels."""
    images = keras.Input((32, 32, 3))
    x = L.Conv2D(32, 3, padding="same", name="first")(images)
    pairs = [(residual(), residual()) for _ in range(units)]
    x = reversible.Sequence(pairs, name="units", **options)(x)
    return keras.Model(images, L.Dense(10)(L.GlobalAveragePooling2D()(x)), name="net")


IMAGES = np.zeros((32, 32, 32, 3), np.float32)
STREAM = 32 * 32 * 32 * 32 * 4  # bytes of a tensor between units


def test_what_is_kept_is_listed_with_its_reason():
    report = reversible.memory_report(network(), IMAGES)
    kept = {(t.kind, t.reason) for t in report.kept if t.num_bytes >= STREAM / 2}
    assert ("stream", "output of a sequence, from which the rest is restored") in kept
    halves = [t.num_bytes for t in report.kept if t.kind == "stream"]
    assert sum(halves) == STREAM, report
    assert report.kept_bytes < 1.5 * STREAM  # the images, and weights as F and G take them
    assert "backward pass of units_1/unit_" in report.moment
    assert report.weight_bytes == 4 * network().count_params()
    text = str(report)
    assert text.startswith("net, input (32, 32, 32, 3)") and "in all, predicted" in text


@pytest.mark.parametrize("loop", [False, True])
def test_what_reads_the_output_of_a_sequence_keeps_no_other_copy_of_it(without_process, loop):
    images = keras.Input((32, 32, 3))
    x = L.Conv2D(32, 3, padding="same")(images)
    x = reversible.Sequence([(residual(), residual()) for _ in range(4)], loop=loop)(x)
    x = L.Conv2D(8, 3, strides=2, padding="same")(x)
    report = reversible.memory_report(keras.Model(images, L.GlobalMaxPooling2D()(x)), IMAGES)
    assert [t.num_bytes for t in report.kept if t.num_bytes > STREAM / 4] == [STREAM], report
    assert report.warnings == []


def test_memory_does_not_grow_with_depth_and_stored_does():
    kept = {
        (units, backprop): reversible.memory_report(
            network(units, backprop=backprop), IMAGES
        ).kept_bytes
        for units in (2, 4)
        for backprop in ("reversible", "stored", "checkpoint")
    }
    assert kept[4, "reversible"] - kept[2, "reversible"] < 0.1 * MB  # weights alone
    assert kept[4, "checkpoint"] - kept[2, "checkpoint"] == pytest.approx(2 * STREAM, rel=0.05)
    # Of F and G each: what their convolution read, batch norm's input, and ReLU's output.
    assert kept[4, "stored"] - kept[2, "stored"] == pytest.approx(6 * STREAM, rel=0.05)


def test_a_loop_stores_what_its_units_would_without_it():
    looped, unrolled = (
        reversible.memory_report(network(6, backprop="stored", loop=loop), IMAGES)
        for loop in (True, False)
    )
    assert looped.kept_bytes == pytest.approx(unrolled.kept_bytes, rel=0.01)
    assert looped.peak_bytes == pytest.approx(unrolled.peak_bytes, rel=0.05)


def only(warnings, text):
    """The one warning that has this text; there is no other."""
    assert len(warnings) == 1 and text in warnings[0], warnings
    return warnings[0]


# Warnings are a share of all: the process's own part would hide small batches.
@pytest.fixture
def without_process(monkeypatch):
    monkeypatch.setattr(figures, "PROCESS_BYTES", 0)
    monkeypatch.setattr(figures, "BYTES_PER_OPERATION", 0)


def test_nothing_is_warned_of_where_all_is_well(without_process):
    assert reversible.memory_report(network(8), IMAGES).warnings == []


def test_units_that_are_not_reversible_are_named(without_process):
    images = keras.Input((32, 32, 3))
    x = L.Conv2D(32, 3, padding="same")(images)
    for _ in range(3):
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(32, 3, padding="same")(x)))
    block = keras.Model(images, x, name="block")
    x = reversible.Sequence([(residual(), residual())], name="units")(block(images))
    found = reversible.memory_report(keras.Model(images, x), IMAGES).warnings
    assert "block_1 keeps " in only(found, "it is not part of a reversible sequence")
    stored = reversible.memory_report(network(backprop="stored"), IMAGES).warnings
    assert "units_1 keeps " in only(stored, "backprop='stored'")


def test_a_tensor_that_is_read_outside_of_the_sequence_is_named(without_process):
    images = keras.Input((32, 32, 3))
    x = L.Conv2D(32, 3, padding="same", name="first")(images)
    y = reversible.Sequence([(residual(), residual())] * 1, name="units")(x)
    beside = L.Conv2D(8, 1, name="beside")(x)
    model = keras.Model(images, [y, beside])
    found = only(reversible.memory_report(model, IMAGES).warnings, "is kept all the same")
    assert "first" in found and "units_1 restores" in found and "beside" in found


def test_a_batch_that_is_too_small_is_named():
    found = reversible.memory_report(network(), IMAGES[:2]).warnings
    only(found, "the batch is too small to matter")


def test_recomputation_that_does_not_wait_is_named(without_process):
    def recomputed_at_once(function, params, x):
        @tf.custom_gradient
        def run(x, *flat):
            def gradient(dy):
                with tf.name_scope("backward"), tf.GradientTape() as tape:
                    tape.watch((x, flat))
                    again = function(flat, x)
                return tape.gradient(again, (x, *flat), dy)

            return function(flat, x), gradient

        return run(x, *params)

    class Block(L.Layer):
        def build(self, shape):
            self.kernels = [self.add_weight(shape=(3, 3, 32, 32)) for _ in range(2)]

        def call(self, x):
            def function(params, x):
                for kernel in params:
                    x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))
                return x

            return recomputed_at_once(function, [k.value for k in self.kernels], x)

    images = keras.Input((32, 32, 3))
    x = L.Conv2D(32, 3, padding="same")(images)
    for _ in range(4):
        x = Block()(x)
    found = reversible.memory_report(keras.Model(images, x), IMAGES).warnings
    assert any("wait for no gradient" in text for text in found), found


def test_a_loop_whose_rounds_are_not_known_is_named():
    words = keras.Input((9, 4))
    model = keras.Model(words, L.LSTM(5)(words))
    found = reversible.memory_report(model, np.zeros((3, 9, 4), np.float32)).warnings
    assert any("what it stores is counted short" in text for text in found), found


def test_xla_on_a_cpu_is_named(without_process):
    class Compiled(L.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(3, 3, 3, 8))

        def call(self, x):
            @tf.function(jit_compile=True, autograph=False)
            def run(x, kernel):
                return tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))

            return run(x, self.kernel.value)

    images = keras.Input((32, 32, 3))
    found = reversible.memory_report(keras.Model(images, Compiled()(images)), IMAGES).warnings
    assert any(text.startswith("XLA compiles the step") for text in found), found


@pytest.mark.parametrize("backprop", ["reversible", "checkpoint"])
def test_random_numbers_wait_for_their_gradient(backprop):
    """Those that a layer of Keras draws, and those of a network's dropout."""

    def half(rate):
        return keras.Sequential([L.Conv2D(16, 3, padding="same"), L.Dropout(rate)])

    def of_layers(rate):
        units = [(half(rate), half(rate)) for _ in range(4)]
        layer = reversible.Sequence(units, backprop=backprop)
        return reversible.memory_report(layer, np.zeros((16, 16, 16, 32), np.float32))

    def of_network(rate):
        config = resnet.get_config("revnet-test")
        config = dataclasses.replace(config, units=(4, 1), dropout=rate)
        model = resnet.get_model(config, backprop=backprop)
        return step_report(Steps(model, make_optimizer(model)), 32)

    for report in (of_layers, of_network):
        found = report(0.1)
        assert found.peak_bytes < 1.4 * report(0.0).peak_bytes
        assert not any("wait for no gradient" in text for text in found.warnings)


def test_no_layer_is_refused():
    with pytest.raises(TypeError, match=r"is no Keras layer.* give a resnet\.Classifier or run"):
        reversible.memory_report(lambda x: x, IMAGES)


# ---------------------------------------------------------------------- liveness


def traced(function, *shapes):
    specs = [tf.TensorSpec(shape) for shape in shapes]
    return tf.function(function, autograph=False).get_concrete_function(*specs).graph


def test_a_value_lives_until_its_last_reader():
    def function(x):
        a = tf.matmul(x, x)  # 1
        b = tf.matmul(a, a)  # 1, 2
        c = tf.matmul(b, b)  # 2, 3
        return tf.matmul(c, a)

    graph = traced(function, (256, 256))
    assert Liveness(graph, graph.inputs).peak == 4 * 256 * 256 * 4  # x, a, and two of the others
    assert Liveness(graph).peak == 3 * 256 * 256 * 4


def test_operations_write_over_what_nothing_else_reads():
    size = 4 * 256 * 256
    alone = traced(lambda x: tf.nn.relu(tf.matmul(x, x) + 1.0), (256, 256))
    assert Liveness(alone).peak == pytest.approx(size, abs=8)

    def both(x):
        a = tf.matmul(x, x)
        return tf.nn.relu(a), a

    assert Liveness(traced(both, (256, 256))).peak == 2 * size


def test_a_loop_keeps_its_state_once_and_its_stacks_whole():
    size = 4 * 256 * 256

    def loop(x):
        return tf.while_loop(
            lambda _: True, lambda x: [tf.matmul(x, x)], [x + 1.0], None, 1, False, 9
        )

    assert Liveness(traced(loop, (256, 256))).peak == pytest.approx(2 * size, rel=0.01)

    def stacked(x):
        found = tf.TensorArray(tf.float32, 9, element_shape=(256, 256))
        _, found = tf.while_loop(
            lambda i, _: i < 9, lambda i, a: (i + 1, a.write(i, x * 2.0)), (0, found)
        )
        return found.stack()

    assert Liveness(traced(stacked, (256, 256))).peak == pytest.approx(18 * size, rel=0.12)


# ------------------------------------------------------------------- measured

# Kinds of networks: convolutions, attention in a reversible sequence, fully connected.
MODELS = """
import json, sys
import keras, numpy as np
from resnet import reversible
L = keras.layers

def convolutions():
    x = images = keras.Input((64, 64, 3))
    for filters in (32, 64, 128):
        for _ in range(2):
            x = L.Conv2D(filters, 3, padding="same")(x)
            x = L.ReLU()(L.BatchNormalization()(x))
        x = L.MaxPooling2D()(x)
    return keras.Model(images, L.Dense(10)(L.GlobalAveragePooling2D()(x))), (64, 64, 64, 3)

class Attention(L.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.norm, self.attend = L.LayerNormalization(), L.MultiHeadAttention(4, 16)
    def build(self, shape):
        self.norm.build(shape)
        self.attend.build(shape, shape)
    def call(self, x):
        h = self.norm(x)
        return self.attend(h, h)

def attention():
    words = keras.Input((128, 128))
    def perceptron():
        layers = [L.LayerNormalization(), L.Dense(256, activation="gelu"), L.Dense(64)]
        return keras.Sequential(layers)
    x = reversible.Sequence([(Attention(), perceptron()) for _ in range(8)])(words)
    return keras.Model(words, L.Dense(10)(L.GlobalAveragePooling1D()(x))), (64, 128, 128)

def connected():
    x = values = keras.Input((4096,))
    for _ in range(4):
        x = L.Dense(2048, activation="relu")(x)
    return keras.Model(values, L.Dense(10)(x)), (512, 4096)

model, shape = globals()[sys.argv[1]]()
report = reversible.memory_report(model, np.zeros(shape, np.float32), measure=True)
print(json.dumps([report.total_bytes, report.measured["here"]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["convolutions", "attention", "connected"])
def test_the_prediction_is_near_what_a_keras_model_takes(tmp_path, kind):
    """Of a process that gives memory back: TensorFlow's pool keeps more, by chance."""
    script = tmp_path / "model.py"
    script.write_text(MODELS)
    predicted, measured = json.loads(said_last([str(script), kind]))
    assert predicted == pytest.approx(measured, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "images"),
    [("revnet-38", 128), ("revnet-110", 128), ("revnet-1001", 32), ("revnet-104", 8)],
)
def test_the_prediction_is_near_what_a_training_takes(model, images):
    done = said(["-m", "resnet", "memory", f"--model={model}", f"--batch_size={images}"])
    found = {
        what: float(line.split()[0].replace(",", ""))
        for line in done.splitlines()
        for what in ("predicted", "given back at once")
        if line.endswith(what)
    }
    assert found["predicted"] == pytest.approx(found["given back at once"], rel=0.1), done


def said(arguments):
    """What a Python process prints, which gives memory back at once."""
    command = [sys.executable, *arguments]
    environment = os.environ | environment_of("glibc")
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout


def said_last(arguments):
    return said(arguments).splitlines()[-1]
