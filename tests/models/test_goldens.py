"""revnet-public's own numbers: probabilities, loss, gradients and updated weights.

Weights, images and labels are drawn by seeds, so that nothing but results is stored, in
tests/goldens/.
"""

import pathlib
import zlib

import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.training.optimizer import make_optimizer

SHALLOW = ["resnet-test", "revnet-test", "revnet-btl-test"]
DEEP = ["revnet-38", "resnet-32"]
LEARNING_RATE = 0.1
GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"


def golden_of(name):
    """{name: array} of a file of goldens."""
    with np.load(GOLDENS / f"{name}.npz") as arrays:
        return dict(arrays)


def draw(name, parameter):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    shape, kind = parameter.shape, parameter.kind
    if kind == "conv":
        value = rng.standard_normal(shape) * np.sqrt(2 / (shape[0] * shape[1] * shape[3]))
    elif kind == "dense":
        value = rng.standard_normal(shape) * np.sqrt(1 / shape[0])
    elif kind in ("gamma", "variance"):
        value = rng.uniform(0.5, 1.5, shape)
    else:
        value = 0.1 * rng.standard_normal(shape)
    return value.astype(np.float32)


def direction(name, shape):
    return np.random.default_rng(zlib.crc32(f"dir/{name}".encode())).standard_normal(shape)


def build(name, backprop):
    model = resnet.get_model(resnet.get_config(name), backprop=backprop, exact=False)
    parameters = model.network.parameters_by_name()
    model.set_weights({n: draw(n, p) for n, p in parameters.items()})
    return model


def batch(golden, model):
    size, count = model.config.image_size, len(golden["prob"])
    images = np.random.default_rng(7).standard_normal([count, size, size, 3]).astype(np.float32)
    labels = np.random.default_rng(8).integers(0, 10, count).astype(np.int32)
    return tf.constant(images), tf.constant(labels)


def backprops(name):
    return ["stored", "checkpoint"] + (["reversible"] if name.startswith("revnet") else [])


CASES = [(name, backprop) for name in SHALLOW + DEEP for backprop in backprops(name)]


def step(name, backprop):
    """(golden, gradients, weights after one update); names and forward pass are checked."""
    golden = golden_of(name)
    model = build(name, backprop)
    images, labels = batch(golden, model)
    probabilities = tf.nn.softmax(model(images))
    loss, gradients = tf.function(model.loss_and_gradients)(images, labels)
    optimizer = make_optimizer(model)
    # The very gradients that were compared, in the storage's form.
    stacked = model.to_storage(gradients)
    optimizer.apply(stacked, tf.constant(LEARNING_RATE))
    gradients = {n: g.numpy().astype(np.float64) for n, g in gradients.items()}
    assert sorted(gradients) == sorted(golden["grad_names"])
    weights = model.get_weights()
    shapes = {n: str(list(w.shape)) for n, w in weights.items()}
    assert shapes == dict(zip(golden["var_names"], golden["var_shapes"], strict=True))
    np.testing.assert_allclose(probabilities, golden["prob"], atol=1e-5)
    np.testing.assert_allclose(loss, golden["xent"], atol=1e-5)
    return golden, gradients, weights


@pytest.mark.parametrize(("name", "backprop"), [c for c in CASES if c[0] in SHALLOW])
def test_forward_pass_gradients_and_update(name, backprop):
    golden, gradients, weights = step(name, backprop)
    for i, n in enumerate(golden["grad_names"]):
        gradient = gradients[n]
        norm, dot = np.linalg.norm(gradient), np.vdot(gradient, direction(n, gradient.shape))
        np.testing.assert_allclose(norm, golden["grad_norm"][i], rtol=1e-3, err_msg=n)
        np.testing.assert_allclose(dot, golden["grad_dot"][i], rtol=1e-3, err_msg=n)
    for i, n in enumerate(golden["var_names"]):
        after = weights[n].astype(np.float64)
        norm, dot = np.linalg.norm(after), np.vdot(after, direction(n, after.shape))
        np.testing.assert_allclose(norm, golden["after_norm"][i], rtol=1e-4, err_msg=n)
        np.testing.assert_allclose(dot, golden["after_dot"][i], rtol=1e-4, err_msg=n)


@pytest.mark.parametrize(("name", "backprop"), [c for c in CASES if c[0] in DEEP])
def test_deep_networks_agree_as_far_as_float32_decides_them(name, backprop):
    """Random weights put some activations within rounding of ReLU's kink.

    Which side they fall on depends on the kernels' order of summation, and moves
    gradients: those computed in float64 are off the goldens by up to 0.4 % (norm)
    and 3.4 % of the norm (dot). Hence the norms of all tensors together to 1e-3,
    and each tensor to a bound that a wrong factor, sign or missing term exceeds.
    """
    golden, gradients, weights = step(name, backprop)
    names = list(golden["grad_names"])
    norms = np.array([np.linalg.norm(gradients[n]) for n in names])
    dots = np.array([np.vdot(gradients[n], direction(n, gradients[n].shape)) for n in names])
    error = np.linalg.norm(norms - golden["grad_norm"]) / np.linalg.norm(golden["grad_norm"])
    assert error < 1e-3
    np.testing.assert_allclose(norms, golden["grad_norm"], rtol=0.02)
    assert np.max(np.abs(dots - golden["grad_dot"]) / golden["grad_norm"]) < 0.1
    after = {n: weights[n].astype(np.float64) for n in golden["var_names"]}
    norms = np.array([np.linalg.norm(w) for w in after.values()])
    dots = np.array([np.vdot(w, direction(n, w.shape)) for n, w in after.items()])
    np.testing.assert_allclose(norms, golden["after_norm"], rtol=5e-4)
    assert np.max(np.abs(dots - golden["after_dot"]) / golden["after_norm"]) < 5e-3


def save_as_revnet_public(folder, name):
    """A checkpoint with revnet-public's own list of names, and drawn weights; its prefix."""
    parameters = resnet.get_model(name).network.parameters_by_name()
    tensors = {}
    for full in golden_of(name)["all_names"]:
        n = full.removeprefix("Model/").removesuffix("/Momentum")
        if full == "Model/global_step":
            tensors[full] = tf.constant(0, tf.int64)
        elif full == "Model/learn_rate":
            tensors[full] = tf.constant(LEARNING_RATE)
        elif full.endswith("/Momentum"):
            tensors[full] = tf.zeros(parameters[n].shape)
        else:
            tensors[full] = tf.constant(draw(full, parameters[full]))
    prefix = folder / "model.ckpt-0"
    slices = [""] * len(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=slices,
        tensors=list(tensors.values()),
    )
    return prefix


def assert_imported(name, prefix):
    model = resnet.get_model(name)
    report = resnet.import_weights(model, prefix)
    weights, parameters = model.get_weights(), model.network.parameters_by_name()
    assert set(report.imported) == set(parameters)
    assert set(report.momentum) == {n for n, p in parameters.items() if not p.is_statistic}
    assert report.step == 0
    for n, parameter in parameters.items():
        np.testing.assert_allclose(weights[n], draw(n, parameter), rtol=1e-6, err_msg=n)


@pytest.mark.parametrize("name", SHALLOW)
def test_import_of_checkpoints_with_the_originals_names(name, tmp_path):
    assert_imported(name, save_as_revnet_public(tmp_path, name))


@pytest.mark.parametrize("name", SHALLOW)
def test_import_of_real_checkpoints(name, shared):
    """Written by TensorFlow 1; they are a few hundred kilobytes each, hence not in tests/."""
    assert_imported(name, shared / "goldens" / name / "model.ckpt-0")


def test_import_is_strict(tmp_path):
    model = resnet.get_model("revnet-test")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"do not fit revnet-test: \d+ missing.*\d+ unknown"):
        resnet.import_weights(model, save_as_revnet_public(tmp_path, "resnet-test"))
    for n, value in model.get_weights().items():
        np.testing.assert_array_equal(value, before[n])
