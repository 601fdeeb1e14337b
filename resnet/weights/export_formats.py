"""Formats that a trained model is exported to; `resnet export` is the command."""

import keras
import numpy as np
import tensorflow as tf

from resnet.files import remove
from resnet.models.keras_model import Classifier
from resnet.models.layers import IMAGE_CHANNELS


def write_saved_model(model, preparation, path):
    """Writes a SavedModel folder; its signatures map images to logits and probabilities.

    serving_default takes float32; with `preparation`, uint8 takes uint8. label_names takes
    nothing and returns the classes' names, if they are known.

    Args:
      model: Model; its label_names go into the file.
      preparation: Preparation of pixels of 0 to 255; None if images come prepared.
      path: pathlib.Path.
    """
    size = model.config.image_size

    def classify(images):
        logits = model(preparation(images) if preparation else images)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def signature(dtype):
        spec = tf.TensorSpec([None, size, size, IMAGE_CHANNELS], dtype, name="images")
        return tf.function(classify, input_signature=[spec], autograph=False)

    module = tf.Module()
    module.model = model  # its variables
    module.classify = signature(tf.float32)
    signatures = {"serving_default": module.classify}
    if preparation:
        signatures["uint8"] = signature(tf.uint8)
    if names := model.label_names:
        signatures["label_names"] = tf.function(
            lambda: {"label_names": tf.constant(names)}, input_signature=[], autograph=False
        )
    tf.saved_model.save(module, str(path), signatures=signatures)


def keras_model(model, preparation):
    """A keras.Model with a Model's weights; arguments as in `write_saved_model`."""
    size = model.config.image_size
    layer = Classifier(
        model.config,
        backprop=model.computation.backprop,
        dtype=model.computation.dtype,
        exact=model.computation.exact,
        prepares=preparation is not None,
        label_names=model.label_names,
        scaling=model.scaling,
        name="classifier",
    )
    for name, variable in model.variables_by_storage_name.items():
        layer.tensors[name].assign(variable)
    if preparation:
        for weight, value in (
            (layer.offset, preparation.offset),
            (layer.divisor, preparation.divisor),
        ):
            weight.assign(np.broadcast_to(np.float32(value), weight.shape))
    inputs = keras.Input([size, size, IMAGE_CHANNELS])
    return keras.Model(inputs, layer(inputs))


def write_keras(model, preparation, path):
    """Writes a .keras file; arguments as in `write_saved_model`."""
    whole = path.with_name(path.name + ".keras")  # Keras insists on the ending
    try:
        keras_model(model, preparation).save(whole)
        whole.rename(path)
    finally:
        remove(whole)


def write_npz(model, preparation, path):
    """Writes an .npz file; arguments as in `write_saved_model`."""
    arrays = model.get_weights()
    if preparation:
        arrays |= {"offset": preparation.offset, "divisor": preparation.divisor}
    if model.label_names:
        arrays["label_names"] = np.array(model.label_names)
    with open(path, "wb") as file:
        np.savez(file, **arrays)


# format -> function that writes it
WRITERS = {"saved_model": write_saved_model, "keras": write_keras, "npz": write_npz}
