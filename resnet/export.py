"""Exports a trained experiment for use elsewhere.

    python -m resnet.export --id EXP --format saved_model
    python -m resnet.export --id EXP --format keras --preprocessing

Formats: saved_model, a folder that TensorFlow and TF Serving load without this project (its
signature returns logits and probabilities); keras, a .keras file, to load after `import
resnet.models.keras_model`; npz, arrays under public names. With --preprocessing, models take
pixels of 0 to 255, else images prepared as in training; an .npz file gets the offset and the
divisor, (image - offset) / divisor.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from resnet import cli
from resnet.errors import UsageError, UserError
from resnet.files import remove, written_beside
from resnet.models import get_model
from resnet.models.keras_model import Classifier
from resnet.models.network import IMAGE_CHANNELS
from resnet.training.experiment import load_experiment
from resnet.training.flags import define_experiment_flags
from resnet.training.trained import define_best_flag, restore_trained, stored_preparation

FLAGS = flags.FLAGS


def define_flags():
    """Defines the command's flags."""
    define_experiment_flags("./results/cifar")
    flags.DEFINE_enum("format", "saved_model", list(FORMATS), "What to write.")
    flags.DEFINE_boolean("preprocessing", False, "Let the model take pixels of 0 to 255.")
    define_best_flag()
    flags.DEFINE_string("output", None, "Where to (default ./exports/ID and the format's ending).")


def main():
    """Writes the export."""
    if not FLAGS.id:
        raise UsageError("--id is needed: the experiment to export")
    experiment = load_experiment(FLAGS.id, FLAGS.results, FLAGS.logs)
    suffix, write = FORMATS[FLAGS.format]
    output = pathlib.Path(FLAGS.output or f"./exports/{FLAGS.id}{suffix}")
    if output.exists():
        raise UsageError(f"{output} exists: give another --output, or remove it")
    if not output.name.endswith(suffix):
        raise UsageError(f"--output is {str(output)!r}, but must end in {suffix!r}")
    options = experiment.options
    model = get_model(experiment.config, "stored", options.dtype, options.exact)
    step = restore_trained(experiment, model, FLAGS.best)
    preparation = stored_preparation(experiment) if FLAGS.preprocessing else None
    try:
        with written_beside(output) as temporary:
            write(model, preparation, temporary)
    except tf.errors.OpError as error:
        raise UserError(f"cannot write {output}: {error.message}") from None
    print(f"{output}: {experiment.config.name} at step {step}")


def write_saved_model(model, preparation, path):
    """Writes a SavedModel folder; see the module.

    Args:
      model: Model.
      preparation: Preparation of pixels of 0 to 255; None if images come prepared.
      path: pathlib.Path.
    """
    size = model.config.image_size
    spec = tf.TensorSpec([None, size, size, IMAGE_CHANNELS], tf.float32, name="images")

    def classify(images):
        logits = model(preparation(images) if preparation else images)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    module = tf.Module()
    module.model = model  # its variables
    module.classify = tf.function(classify, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(path), signatures=module.classify)


def keras_model(model, preparation):
    """A keras.Model with a Model's weights; arguments as in `write_saved_model`."""
    size = model.config.image_size
    layer = Classifier(
        model.config,
        model.backprop,
        model.dtype,
        model.exact,
        prepares=preparation is not None,
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
    with open(path, "wb") as file:
        np.savez(file, **arrays)


# format -> (ending, function that writes it)
FORMATS = {
    "saved_model": ("", write_saved_model),
    "keras": (".keras", write_keras),
    "npz": (".npz", write_npz),
}

if __name__ == "__main__":
    define_flags()
    cli.run(main)
