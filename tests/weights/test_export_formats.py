"""Exports give the model's own predictions, of pixels that they prepare themselves."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.data.cifar.preparation import Preparation
from resnet.weights.export_formats import WRITERS

CONFIG = dataclasses.replace(resnet.get_config("revnet-test"), units=(1, 1))
# Of each channel its own; an offset per pixel too, as a mean image has.
OFFSET = np.random.default_rng(0).uniform(50, 150, [8, 8, 3]).astype(np.float32)
DIVISOR = np.array([20.0, 40.0, 80.0], np.float32)
PIXELS = np.random.default_rng(1).integers(0, 256, [4, 8, 8, 3]).astype(np.float32)
PREPARED = (PIXELS - OFFSET) / DIVISOR


def load(form, path):
    """A function of images that gives logits."""
    if form == "keras":
        return keras.saving.load_model(path)
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    return lambda images: signature(images=tf.constant(images))["logits"]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
@pytest.mark.parametrize("form", ["saved_model", "keras"])
def test_predictions_are_the_models(form, tmp_path):
    model = resnet.get_model(CONFIG, seed=3)
    wanted = model(PREPARED)
    for prepares, images in ((True, PIXELS), (False, PREPARED)):
        path = tmp_path / f"{prepares}{'.keras' if form == 'keras' else ''}"
        preparation = Preparation(OFFSET, DIVISOR, padding=0) if prepares else None
        WRITERS[form](model, preparation, path)
        np.testing.assert_allclose(load(form, path)(images), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_files_carry_the_classes_names_and_take_whole_pixels(tmp_path):
    model = resnet.get_model(CONFIG, seed=3)
    model.label_names = tuple(f"class {i}" for i in range(model.config.num_classes))
    preparation, whole = Preparation(OFFSET, DIVISOR, padding=0), PIXELS.astype(np.uint8)
    for form, write in WRITERS.items():
        write(model, preparation, tmp_path / ("m.keras" if form == "keras" else form))
    signatures = tf.saved_model.load(str(tmp_path / "saved_model")).signatures
    found = {
        "saved_model": [n.decode() for n in signatures["label_names"]()["label_names"].numpy()]
    }
    keras_model = keras.saving.load_model(tmp_path / "m.keras")
    found["keras"] = list(keras_model.layers[-1].label_names)
    with np.load(tmp_path / "npz", allow_pickle=False) as arrays:
        found["npz"] = arrays["label_names"].tolist()
    assert found == {form: list(model.label_names) for form in WRITERS}
    for logits in (signatures["uint8"](images=tf.constant(whole))["logits"], keras_model(whole)):
        np.testing.assert_allclose(logits, model(PREPARED), rtol=1e-4, atol=1e-4)


def test_arrays_are_the_weights_and_the_preparation(tmp_path):
    model = resnet.get_model(CONFIG, seed=3)
    WRITERS["npz"](model, Preparation(OFFSET, DIVISOR, padding=0), tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as arrays:
        found = dict(arrays)
    np.testing.assert_array_equal(found.pop("offset"), OFFSET)
    np.testing.assert_array_equal(found.pop("divisor"), DIVISOR)
    weights = model.get_weights()
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(found[name], value)
