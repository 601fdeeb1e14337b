"""Classifier: a network as a Keras layer."""

import dataclasses
import inspect
import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet
from processes import run_file_afresh
from resnet import Classifier
from resnet.settings import SettingError

IMAGES = np.random.default_rng(0).standard_normal([4, 8, 8, 3]).astype(np.float32)


@pytest.fixture(autouse=True)
def policy_is_left_as_it_was():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


SMALL_IREVNET = dataclasses.replace(
    resnet.get_config("irevnet-38"), image_size=8, units=(1, 1, 1), inner_filters=(4, 8, 6)
)


def model_of(layer):
    return keras.Sequential([keras.Input([8, 8, 3]), layer])


@pytest.mark.parametrize("shape", [[28, 28, 1], [16, 16, 3], [None, 8, 3, 1]])
def test_inputs_of_another_shape_are_refused_where_they_are_connected(shape):
    with pytest.raises(ValueError, match=r"but revnet-test takes \(N, 8, 8, 3\)"):
        keras.Sequential([keras.Input(shape), Classifier("revnet-test")])
    keras.Sequential([keras.Input([None, None, 3]), Classifier("revnet-test")])


@pytest.mark.parametrize(
    "config",
    ["revnet-test", resnet.get_config("revnet-test"), resnet.get_config("revnet-test").to_json()],
    ids=["name", "Config", "dict"],
)
def test_it_is_the_model_of_a_config(config):
    layer = Classifier(config)
    assert layer.config == resnet.get_config("revnet-test")
    wanted = resnet.get_model("revnet-test")
    np.testing.assert_array_equal(layer(IMAGES), wanted(IMAGES))
    logits = layer(IMAGES, training=True)
    np.testing.assert_allclose(logits, wanted(IMAGES, training=True), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="images have shape"):
        layer(np.zeros([4, 16, 16, 3], np.float32))


@pytest.mark.parametrize(
    ("dtype", "arithmetic"),
    [
        (None, "float32"),
        ("float32", "float32"),
        ("bfloat16", "bfloat16"),
        ("mixed_bfloat16", "bfloat16"),
        (keras.DTypePolicy("mixed_bfloat16"), "bfloat16"),
        (keras.DTypePolicy("float32"), "float32"),
    ],
)
def test_dtype_is_the_arithmetics_and_weights_are_float32(dtype, arithmetic):
    layer = Classifier("revnet-test", dtype=dtype)
    assert layer.network.computation.dtype == arithmetic
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    logits = layer(IMAGES)
    assert logits.dtype == "float32" and model_of(layer).outputs[0].dtype == "float32"
    wanted = resnet.get_model("revnet-test", dtype=arithmetic)(IMAGES)
    np.testing.assert_array_equal(logits, wanted)
    again = Classifier.from_config(layer.get_config())
    assert again.network.computation == layer.network.computation


def test_it_takes_what_get_model_takes():
    layer = Classifier(
        "revnet-test",
        num_classes=5,
        seed=7,
        images_at_once=4,
        backprop="reversible",
        exact=False,
        loop="on",
        memory_budget="1MB",
        dtype="bfloat16",
    )
    given = {"backprop": "reversible", "exact": False, "loop": "on", "dtype": "bfloat16"}
    model = resnet.get_model(
        "revnet-test", num_classes=5, seed=7, images_at_once=4, memory_budget="1MB", **given
    )
    assert layer.network.computation == model.computation
    assert [s.num_kept for s in layer.network.stages] == [s.num_kept for s in model.network.stages]
    np.testing.assert_array_equal(layer(IMAGES), model(IMAGES))
    assert layer(IMAGES).shape == (4, 5)
    again = Classifier.from_config(layer.get_config())
    assert again.network.computation == model.computation and again.images_at_once == 4
    names = set(inspect.signature(resnet.get_model).parameters) - {"computation"}
    names |= {field.name for field in dataclasses.fields(model.computation)}
    assert names <= set(inspect.signature(Classifier).parameters)


@pytest.mark.parametrize("config", ["revnet-test", SMALL_IREVNET], ids=["revnet", "irevnet"])
def test_features_are_what_the_mean_over_pixels_is_taken_of(config):
    whole = Classifier(config)
    layer = Classifier(config, include_top=False)
    assert whole.tensors.keys() - layer.tensors.keys() == {"logit/w", "logit/b"}
    features = layer(IMAGES)
    w, b = (whole.tensors[f"logit/{name}"].numpy() for name in "wb")
    logits = features.numpy().mean(axis=(1, 2)) @ w + b
    np.testing.assert_allclose(logits, whole(IMAGES), rtol=1e-4, atol=1e-5)
    assert model_of(layer).output_shape == (None, *features.shape[1:])
    again = Classifier.from_config(layer.get_config())
    np.testing.assert_array_equal(again(IMAGES), features)


def test_the_global_policy_counts_where_nothing_is_said():
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert Classifier("revnet-test").network.computation.dtype == "bfloat16"
    assert Classifier("revnet-test", dtype="float32").network.computation.dtype == "float32"
    keras.config.set_dtype_policy("mixed_float16")
    message = "Keras' global policy for a Classifier's dtype is 'mixed_float16', but must be one"
    with pytest.raises(SettingError, match=message) as caught:
        Classifier("revnet-test")
    assert caught.value.keys == ("dtype",)


@pytest.mark.parametrize("dtype", ["float16", keras.DTypePolicy("mixed_float16"), 16])
def test_other_types_are_errors(dtype):
    wanted = "but must be one of float32, bfloat16, mixed_bfloat16"
    with pytest.raises(SettingError, match=f"a Classifier's dtype is .*16'?, {wanted}"):
        Classifier("revnet-test", dtype=dtype)


def test_frozen_its_moving_averages_rest():
    layer = Classifier("revnet-test")
    layer(IMAGES, training=True)
    layer.trainable = False
    before = [weight.numpy() for weight in layer.weights]
    layer(IMAGES, training=True)
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_it_trains_in_keras():
    """A reversible network in fit: its loss falls, and its moving averages move."""
    layer = Classifier("revnet-test")
    model = model_of(layer)
    images = np.random.default_rng(0).standard_normal([20, 8, 8, 3]).astype(np.float32)
    labels = (images.mean(axis=(1, 2))[:, 0] > 0).astype(np.int32)
    before = layer.tensors["init/init_bn/ema_mean"].numpy()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    history = model.fit(images, labels, batch_size=20, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    assert not np.array_equal(layer.tensors["init/init_bn/ema_mean"], before)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("backprop", ["reversible", "stored"])
def test_an_imagenet_stem_has_its_gradients_with_moving_averages_beside(backprop, compiled):
    """Its batch is walked in parts, and a network that is called hands it all variables."""
    config = dataclasses.replace(
        resnet.get_config("revnet-test"), stem_max_pool=True, image_size=16, weight_decay=0.0
    )
    images, labels = np.repeat(np.repeat(IMAGES, 2, 1), 2, 2), np.arange(4, dtype=np.int32)
    model = resnet.get_model(config, backprop=backprop)
    _, wanted = model.loss_and_gradients(images, labels)
    layer = Classifier(config, backprop=backprop)
    averages = model.statistics_by_storage_name

    def gradients_of(network, tensors):
        variables = {name: v for name, v in tensors.items() if name not in averages}
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        return model.to_public(tape.gradient(loss, variables))

    run = tf.function(gradients_of) if compiled else gradients_of
    weights = {name: weight.value for name, weight in layer.tensors.items()}
    for network, tensors in ((model, model.variables_by_storage_name), (layer, weights)):
        found = run(network, tensors)
        assert found.keys() == wanted.keys()
        for name, gradient in wanted.items():
            np.testing.assert_allclose(found[name], gradient, rtol=1e-3, atol=1e-5)


LOADS = """
import sys
import {first}
import {second}
import numpy as np
model = keras.saving.load_model(sys.argv[1])
computation = model.layers[-1].network.computation
np.save(sys.argv[2], model(np.load(sys.argv[2])))
print(computation.dtype, computation.backprop, computation.exact)
"""


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
@pytest.mark.parametrize("age", ["new", "old"])
def test_files_load_in_a_new_process(tmp_path, age):
    layer = Classifier("revnet-test", dtype="bfloat16", exact=False)
    model, path = model_of(layer), tmp_path / "model.keras"
    for weight in layer.trainable_variables:
        weight.assign(weight * 1.1)
    model.save(path)
    if age == "old":
        rewrite_as_of_old(path)
    script, images = tmp_path / "loads.py", tmp_path / "images.npy"
    # TensorFlow asks for Keras without loading it.
    first, second = ("resnet, tensorflow", "keras") if age == "new" else ("keras", "resnet")
    script.write_text(LOADS.format(first=first, second=second))
    np.save(images, IMAGES)
    assert run_file_afresh(pathlib.Path(script), path, images) == "bfloat16 reversible False\n"
    np.testing.assert_array_equal(np.load(images), model(IMAGES))


def test_the_package_shows_what_it_has_and_loads_nothing(tmp_path):
    script = tmp_path / "looks.py"
    script.write_text(
        "import sys, resnet\n"
        "assert not {'keras', 'tensorflow', 'numpy'} & sys.modules.keys()\n"
        "assert set(resnet.__all__) <= set(dir(resnet))\n"
        "assert len(sys.meta_path) == len(set(map(id, sys.meta_path)))\n"
        "import keras\n"
        "assert not any('keras_import' in type(f).__module__ for f in sys.meta_path)\n"
        "assert 'resnet.models' not in sys.modules and 'keras_import' not in repr(keras)\n"
        "import keras.layers, importlib\n"
        "importlib.reload(keras)\n"
        "for name in resnet.__all__: getattr(resnet, name)\n"
        "print(resnet.reversible.Sequence.__name__)\n"
    )
    assert run_file_afresh(script) == "Sequence\n"


def test_a_summary_counts_every_parameter():
    printed = []
    for name in ("revnet-38", "vgg-11", "resnet-50"):
        model = resnet.get_model(name)
        model.summary(print_fn=printed.append)
        _, *rows, _ = printed[-1].splitlines()[1:]
        counts = [int(row.split()[-1].replace(",", "")) for row in rows]
        assert sum(counts) == model.num_parameters
    assert "stage 3      3  8 x 8 x 112      327,888" in printed[0]
    assert "stage 1      1  16 x 16 x 64" in printed[1]


def rewrite_as_of_old(path):
    """As files were when `arithmetic` said the type, and a policy of float32 said nothing."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    content = json.loads(parts["config.json"])
    (layer,) = (one for one in content["config"]["layers"] if one["class_name"] == "Classifier")
    config = layer["config"]
    assert config["dtype"]["config"]["name"] == "mixed_bfloat16"
    config["dtype"]["config"]["name"] = "float32"
    config["arithmetic"] = "bfloat16"
    parts["config.json"] = json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, part in parts.items():
            file.writestr(name, part)


def test_every_class_has_a_name():
    with pytest.raises(ValueError, match="label_names has 2 names, but there are 3 classes"):
        Classifier("revnet-test", num_classes=3, label_names=["a", "b"])


def test_every_layer_of_the_package_loads_where_only_the_package_is_imported():
    from resnet import Classifier, reversible
    from resnet.keras_import import LAYERS

    own = {name for name in keras.saving.get_custom_objects() if name.startswith("resnet")}
    assert own == set(LAYERS), (Classifier, reversible)
