"""Weights in and out, through the command line: imports, fine-tuning, exports."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_zoo
import resnet
from processes import error_of, run_quickly
from resnet.data.cifar import synthetic
from resnet.data.cifar.input import load_dataset
from resnet.data.cifar.pipeline import evaluation_batches
from resnet.data.registry import CIFAR
from resnet.models.keras_model import Classifier
from resnet.pretrained import list_pretrained
from resnet.training.evaluation import Evaluation
from resnet.weights.checkpoint_format import CheckpointError, read_checkpoint
from resnet.weights.sources.object_graph import KERAS_NAMES

SHIPPED = {str(one): one for one in list_pretrained()}
TRAIN = "run_cifar_train.py"
IMPORT = "import"


def places(tmp_path):
    return [f"--results={tmp_path}/results", f"--logs={tmp_path}/logs"]


def succeed(script, *arguments):
    done = run_quickly(script, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("depth", "error"), [(20, 7.99), pytest.param(44, 6.83, marks=pytest.mark.slow)]
)
def test_cifar_vs_tensorflow2s_own_weights_have_its_accuracy(depth, error, shared, cifar, tmp_path):
    checkpoint = shared / f"weights/cifar-vs-tensorflow2/cifar_resnet{depth}.tf"
    succeed(
        IMPORT,
        "--source=cifar-vs-tensorflow2",
        f"--checkpoint={checkpoint}",
        f"--model=resnet{depth}-v1",
        "--dataset=cifar-10",
        "--id=imported",
        *places(tmp_path),
    )
    evaluate = ["--restore", "--id=imported", "--eval_only", f"--data_folder={cifar}"]
    output = succeed(TRAIN, *evaluate, *places(tmp_path))
    accuracy = float(output.partition("Final test accuracy = ")[2])
    assert abs(100 - accuracy - error) <= 0.02


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize(
    "count", [pytest.param(None, marks=pytest.mark.slow, id="all"), pytest.param(1000, id="some")]
)
def test_the_packages_own_weights_have_their_printed_accuracy(name, count, cifar):
    """Of all test images exactly; of the first 1,000 as far as so few can tell."""
    one = SHIPPED[name]
    model = resnet.get_model(one.model, weights=one.dataset)
    test = load_dataset(one.dataset, cifar).test
    part = dataclasses.replace(test, images=test.images[:count], labels=test.labels[:count])
    batches = evaluation_batches(part, model.scaling, model.config.evaluation_batch_size)
    found, printed = Evaluation(model, flips=True)(batches).to_json(), one.facts["accuracy"]
    if count is None:
        assert found == printed
    del found["num_images"]
    assert found == pytest.approx({kind: printed[kind] for kind in found}, abs=5)


def test_a_foreign_checkpoint_of_another_model_is_refused(shared, tmp_path):
    checkpoint = shared / "weights/cifar-vs-tensorflow2/cifar_resnet20.tf"
    arguments = [f"--checkpoint={checkpoint}", "--id=x", *places(tmp_path)]
    source = "--source=cifar-vs-tensorflow2"
    for model, message in {
        "resnet44-v1": "layer_with_weights-14/kernel has shape (3, 3, 16, 32), but Model/unit_1_3",
        "wrn-16-4": "layer_with_weights-2/kernel has shape (3, 3, 16, 16), but Model/unit_1_0",
    }.items():
        done = run_quickly(IMPORT, source, f"--model={model}", *arguments)
        assert message in error_of(done), done.stderr
    for model in ("wrn-16-4", "revnet-164", "vgg-11"):
        done = run_quickly(IMPORT, "--source=tf-eager-revnet", f"--model={model}", *arguments)
        assert f"has no counterpart of {model}: give an -eager config" in error_of(done)
    done = run_quickly(IMPORT, "--source=tf-eager-revnet", "--model=revnet-38-eager", *arguments)
    assert "has no model/_init_block/conv2d/kernel" in error_of(done)
    assert not (tmp_path / "results").exists()


def tracked(tree):
    """A nested {name: ...} of arrays as objects that tf.train.Checkpoint saves."""
    if isinstance(tree, dict):
        return tf.train.Checkpoint(**{name: tracked(child) for name, child in tree.items()})
    return tree if isinstance(tree, tf.Variable) else tf.Variable(tree)


IMAGES = np.random.default_rng(2).standard_normal([4, 32, 32, 3]).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "changes", "reference"),
    [
        ("resnet20-v1", {"shortcut": "B"}, lambda: keras_zoo.resnet_v1((16, 32, 64), 3, "B")),
        ("resnet20-v2", {}, lambda: keras_zoo.resnet_v2((16, 32, 64), 3, "A")),
        (
            "resnet164-v2",
            {"units": (2, 2, 2)},
            lambda: keras_zoo.resnet_v2((64, 128, 256), 2, "B", bottleneck=True, shared=True),
        ),
        ("vgg-11", {}, lambda: keras_zoo.vgg((64, 128, 256, 512, 512), (1, 1, 2, 2, 2))),
    ],
)
def test_keras_layers_by_depth_find_their_place(name, changes, reference, tmp_path):
    """Keras itself sorts the layers of a reference, shortcuts among them."""
    wanted, variables = reference()
    rng = np.random.default_rng(4)
    for variable in variables.values():
        variable.assign(np.abs(0.1 * rng.standard_normal(variable.shape)) + 0.05)
    for name_of_ours, variable in variables.items():
        if name_of_ours.endswith("/w"):
            variable.assign(0.05 * rng.standard_normal(variable.shape))
    layers = [layer for layer in wanted.layers if layer.weights]
    tree = {
        f"layer_with_weights-{i}": {w.name: w.numpy() for w in layer.weights}
        for i, layer in enumerate(layers)
    }
    prefix = tracked(tree).write(str(tmp_path / "weights"))
    model = resnet.get_model(dataclasses.replace(resnet.get_config(name), **changes))
    report = resnet.import_weights(model, prefix, "cifar-vs-tensorflow2")
    assert report.ignored == ()
    for name_of_ours, value in model.get_weights().items():
        np.testing.assert_array_equal(value, variables[name_of_ours], err_msg=name_of_ours)
    with pytest.raises(CheckpointError, match=r"more than|has no|has shape"):
        resnet.import_weights(resnet.get_model("wrn-16-4"), prefix, "cifar-vs-tensorflow2")


class EagerRevNet:
    """TensorFlow's eager RevNet with basic blocks: its objects' names, and what they compute."""

    def __init__(self, stem, filters, units):
        self.rng, self.tree = np.random.default_rng(6), {}
        self.tree["_init_block"] = {"conv2d": self.conv(3, stem), "batch_norm": self.bn(stem)}
        blocks, channels = {}, stem // 2
        for s, width in enumerate(filters):
            residuals = {}
            for u in range(units):
                f, g = (self.inner(c, width // 2, s and not u) for c in (channels, width // 2))
                residuals[str(u)] = {"f": f, "g": g}
                channels = width // 2
            blocks[str(s)] = {"blocks": residuals}
        self.tree["_block_list"] = blocks
        dense = {"kernel": self.draw(filters[-1], 10), "bias": self.draw(10)}
        self.tree["_final_block"] = {"batch_norm": self.bn(filters[-1]), "dense": dense}

    def draw(self, *shape):
        return tf.Variable((0.2 * self.rng.standard_normal(shape)).astype(np.float32))

    def conv(self, in_channels, filters):
        return {"kernel": self.draw(3, 3, in_channels, filters)}

    def bn(self, channels):
        positive = {n: tf.Variable(tf.abs(self.draw(channels)) + 0.5) for n in ("gamma", "var")}
        return {
            "gamma": positive["gamma"],
            "beta": self.draw(channels),
            "moving_mean": self.draw(channels),
            "moving_variance": positive["var"],
        }

    def inner(self, in_channels, filters, batch_norm_first):
        first = {"batch_norm_0": self.bn(in_channels)} if batch_norm_first else {}
        return first | {
            "conv2d_1": self.conv(in_channels, filters),
            "batch_norm_1": self.bn(filters),
            "conv2d_2": self.conv(filters, filters),
        }

    def normalise(self, bn, x):
        scale = bn["gamma"] / tf.sqrt(bn["moving_variance"] + 1e-3)
        return tf.nn.relu((x - bn["moving_mean"]) * scale + bn["beta"])

    def residual(self, inner, x, stride):
        if "batch_norm_0" in inner:
            x = self.normalise(inner["batch_norm_0"], x)
        x = tf.nn.conv2d(x, inner["conv2d_1"]["kernel"], stride, "SAME")
        x = self.normalise(inner["batch_norm_1"], x)
        return tf.nn.conv2d(x, inner["conv2d_2"]["kernel"], 1, "SAME")

    def down(self, x, filters, stride):
        x = tf.nn.avg_pool2d(x, stride, stride, "VALID")
        pad = (filters - x.shape[-1]) // 2
        return tf.pad(x, [[0, 0], [0, 0], [0, 0], [pad, pad]])

    def __call__(self, x):
        init, final = self.tree["_init_block"], self.tree["_final_block"]
        x = tf.nn.conv2d(x, init["conv2d"]["kernel"], 1, "SAME")
        x1, x2 = tf.split(self.normalise(init["batch_norm"], x), 2, axis=-1)
        for s, block in self.tree["_block_list"].items():
            for u, pair in block["blocks"].items():
                stride = 2 if s != "0" and u == "0" else 1
                filters = pair["g"]["conv2d_2"]["kernel"].shape[-1]
                y1 = self.down(x1, filters, stride) + self.residual(pair["f"], x2, stride)
                x2 = self.down(x2, filters, stride) + self.residual(pair["g"], y1, 1)
                x1 = y1
        x = self.normalise(final["batch_norm"], tf.concat([x1, x2], -1))
        return tf.reduce_mean(x, [1, 2]) @ final["dense"]["kernel"] + final["dense"]["bias"]


def test_an_eager_revnet_becomes_an_experiment_that_continues(tmp_path):
    reference = EagerRevNet(8, (8, 16, 24), 2)
    trained = [reference.tree["_init_block"]["conv2d"]["kernel"]]
    optimizer = tf.compat.v1.train.MomentumOptimizer(0.0, 0.9)
    optimizer.apply_gradients([(tf.ones_like(v), v) for v in trained])
    checkpoint = tf.train.Checkpoint(
        model=tracked(reference.tree),
        optimizer=optimizer,
        optimizer_step=tf.Variable(7, dtype=tf.int64),
    )
    prefix = checkpoint.save(str(tmp_path / "ckpt"))
    config = tmp_path / "small.json"
    fields = {"stem_filters": 8, "filters": [8, 16, 24], "units": [2, 2, 2], "batch_size": 10}
    config.write_text(json.dumps(fields))
    output = succeed(
        IMPORT,
        "--source=tf-eager-revnet",
        f"--checkpoint={prefix}",
        "--model=revnet-38-eager",
        f"--config={config}",
        "--dataset=synthetic",
        "--id=eager",
        *places(tmp_path),
    )
    assert "and 1 of momentum" in output and "model.ckpt-7" in output
    in_epochs = fields | {"num_epochs": 3, "schedule": "cosine", "optimizer": "adam"}
    config.write_text(json.dumps(in_epochs))
    other = [IMPORT, "--source=tf-eager-revnet", f"--checkpoint={prefix}", f"--config={config}"]
    output = succeed(
        *other, "--model=revnet-38-eager", "--dataset=synthetic", "--id=adam", *places(tmp_path)
    )
    assert "momentum" not in output
    step = ["--model=revnet-38-eager", "--dataset=synthetic", "--step=9", "--id=x"]
    done = run_quickly(*other, *step, *places(tmp_path))
    assert f"--step is 9, but {prefix} is of step 7: leave it out" in error_of(done)
    said = succeed(TRAIN, "--restore", "--id=adam", "--dry_run", *places(tmp_path))
    assert "steps:             3,000 of 10 images" in said
    config.write_text(json.dumps({"num_epochs": 3, "schedule": "cosine"}))
    done = run_quickly(
        *other, "--model=resnet-50", "--dataset=imagenet", "--id=c", *places(tmp_path)
    )
    assert "cannot be counted without the images of imagenet: give num_steps" in error_of(done)
    saved = read_checkpoint(tmp_path / "results/eager/model.ckpt-7")
    np.testing.assert_array_equal(saved["Model/Model/init/init_conv/w/Momentum"], 1)
    model = resnet.get_model(
        dataclasses.replace(resnet.get_config("revnet-38-eager"), **fields), exact=False
    )
    resnet.import_weights(model, prefix, "tf-eager-revnet")
    np.testing.assert_allclose(model(IMAGES), reference(IMAGES), rtol=1e-4, atol=1e-5)
    restored = succeed(TRAIN, "--restore", "--id=eager", "--max_num_steps=8", *places(tmp_path))
    assert "model.ckpt-7" in restored and "Final test accuracy" in restored


TINY = {"name": "resnet20-v1", "units": [1, 1, 1], "filters": [4, 8, 8], "stem_filters": 4}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of an experiment "tiny" of a few steps on the synthetic data set."""
    folder = tmp_path_factory.mktemp("trained")
    config = folder / "tiny.json"
    config.write_text(json.dumps(TINY | {"batch_size": 16, "evaluation_batch_size": 500}))
    arguments = [f"--config={config}", "--dataset=synthetic", "--id=tiny", "--max_num_steps=3"]
    succeed(TRAIN, *arguments, *places(folder))
    return folder


def logits_of(folder, experiment, pixels):
    """What the training's own model makes of pixels, prepared by hand."""
    config = dataclasses.replace(
        resnet.get_config("resnet20-v1"), units=(1, 1, 1), filters=(4, 8, 8), stem_filters=4
    )
    model = resnet.get_model(config)
    tensors = read_checkpoint(folder / "results" / experiment / "model.ckpt-3")
    model.set_weights({name: tensors[name] for name in model.get_weights()})
    mean, deviation = (np.array(x) for x in CIFAR["synthetic"].channels)
    prepared = ((pixels / 255 - mean) / deviation).astype(np.float32)
    return prepared, model(prepared).numpy()


PIXELS = synthetic.generate(6, 9).images


def export(folder, tmp_path, *arguments):
    places = [f"--results={folder}/results", f"--logs={folder}/logs"]
    return succeed("export", "--id=tiny", *places, *arguments)


@pytest.mark.parametrize("preprocessing", [False, True])
def test_a_saved_model_gives_the_same_predictions(preprocessing, trained, tmp_path):
    flag = "--preprocessing" if preprocessing else "--nopreprocessing"
    export(trained, tmp_path, "--format=saved_model", flag, f"--output={tmp_path}/m")
    prepared, wanted = logits_of(trained, "tiny", PIXELS)
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    images = tf.constant(PIXELS, tf.float32) if preprocessing else prepared
    got = loaded.signatures["serving_default"](images=tf.constant(images))
    np.testing.assert_allclose(got["logits"], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got["probabilities"], tf.nn.softmax(wanted), atol=1e-5)


@pytest.mark.parametrize("preprocessing", [False, True])
def test_a_keras_file_gives_the_same_predictions(preprocessing, trained, tmp_path):
    flag = "--preprocessing" if preprocessing else "--nopreprocessing"
    export(trained, tmp_path, "--format=keras", flag, f"--output={tmp_path}/m.keras")
    prepared, wanted = logits_of(trained, "tiny", PIXELS)
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert isinstance(loaded.layers[-1], Classifier)
    got = loaded(PIXELS if preprocessing else prepared)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(loaded.layers[-1].prepare(PIXELS), prepared, rtol=1e-5, atol=1e-5)


def test_an_npz_file_holds_the_weights(trained, tmp_path):
    output = f"--output={tmp_path}/m.npz"
    export(trained, tmp_path, "--format=npz", "--preprocessing", output)
    saved = read_checkpoint(trained / "results/tiny/model.ckpt-3")
    with np.load(tmp_path / "m.npz") as arrays:
        assert arrays["divisor"].shape == (3,)
        names = set(arrays) - {"offset", "divisor", "label_names"}
        assert names and "Model/logit/w" in names
        for name in names:
            np.testing.assert_array_equal(arrays[name], saved[name])
    again = run_quickly(
        "export",
        "--id=tiny",
        f"--results={trained}/results",
        "--format=npz",
        output,
    )
    assert "exists: give another --output" in error_of(again)
    done = run_quickly("export", "--id=tiny", "--format=npz", "--dtype=bfloat16")
    assert "--dtype does not go with --format npz: leave it out" in error_of(done)


def test_fine_tuning_starts_from_all_weights_that_fit(trained, tmp_path):
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(TINY | {"filters": [4, 8, 16], "batch_size": 16}))
    arguments = [f"--config={config}", "--dataset=synthetic", "--init_from=tiny"]
    both = [f"--results={trained}/results", f"--logs={tmp_path}/logs"]
    output = succeed(TRAIN, *arguments, "--id=tuned", "--max_num_steps=1", *both)
    left = [line.split()[2] for line in output.splitlines() if "initial value:" in line]
    assert "Model/unit_3_0/sub1/conv1/w" in left and "Model/logit/w" in left
    assert not [name for name in left if name.startswith(("Model/init", "Model/unit_1"))]
    assert "(shape (8, 10) there, (16, 10) here)" in output
    # The first update moves weights by no more than rate times gradient: they began there.
    first, tuned = (
        read_checkpoint(trained / "results" / name / f"model.ckpt-{step}")
        for name, step in (("tiny", 3), ("tuned", 1))
    )
    name = "Model/unit_1_0/sub1/conv1/w"
    rate = resnet.get_config("resnet20-v1").learning_rates[0]
    moved = first[name] - rate * tuned["Model/" + name + "/Momentum"]
    np.testing.assert_allclose(tuned[name], moved, atol=1e-6)
    gone = run_quickly(TRAIN, *arguments[:2], "--init_from=gone", "--id=x", *both)
    assert "init_from is 'gone', but there is no checkpoint in" in error_of(gone)
    assert not (trained / "results/x").exists()


def test_what_is_imported_fits_its_data_set(tmp_path):
    arguments = ["--source=revnet-public", "--checkpoint=gone", "--id=x", *places(tmp_path)]
    for more, message in {
        ("--model=revnet-38", "--dataset=imagenet"): "takes 32x32 images prepared by 'cifar', but",
        ("--model=revnet-56", "--dataset=cifar-10"): "prepared by 'inception', but this trains",
        ("--model=revnet-test", "--dataset=cifar-10"): "takes 8x8 images, but cifar-10 has 32x32",
    }.items():
        assert message in error_of(run_quickly(IMPORT, *arguments, *more))
    config = tmp_path / "large.json"
    config.write_text(json.dumps({"name": "resnet-50", "num_classes": 7}))
    done = run_quickly(IMPORT, *arguments, f"--config={config}")  # the data set is the config's
    assert "gone" in error_of(done) and "is not taken" not in done.stdout


def test_import_needs_its_flags(tmp_path):
    done = run_quickly(IMPORT, "--source=revnet-public", *places(tmp_path))
    assert "--checkpoint is needed" in error_of(done)


def test_the_function_is_not_hidden_by_the_command():
    assert callable(resnet.import_weights) and resnet.Classifier is Classifier
    assert set(KERAS_NAMES) == {"w", "b", "gamma", "beta", "ema_mean", "ema_var"}
