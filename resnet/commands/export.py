"""Exports a trained experiment for use elsewhere.

    python -m resnet export --id EXP --format saved_model
    python -m resnet export --id EXP --format keras --preprocessing

Formats: saved_model, a folder that TensorFlow and TF Serving load without this project (its
signature returns logits and probabilities); keras, a .keras file, to load after `import
resnet.models.keras_model`; npz, arrays under public names. With --preprocessing, models take
pixels of 0 to 255, else images prepared as in training; an .npz file gets the offset and the
divisor, (image - offset) / divisor.
"""

import pathlib

from absl import flags

from resnet.commands import cli
from resnet.commands.flags import define_best_flag, define_experiment_flags
from resnet.errors import UsageError
from resnet.files import written_beside
from resnet.models import get_model
from resnet.training.experiment import load_experiment
from resnet.weights.export_formats import FORMATS
from resnet.weights.trained import restore_trained, stored_preparation

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
    with written_beside(output) as temporary:
        write(model, preparation, temporary)
    print(f"{output}: {experiment.config.name} at step {step}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
