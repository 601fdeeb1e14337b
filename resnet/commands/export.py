"""Exports a trained experiment for use elsewhere.

    resnet export --id EXP --format saved_model
    resnet export --id EXP --format keras --preprocessing

Formats: saved_model, a folder that TensorFlow and TF Serving load without this project (its
signature returns logits and probabilities); keras, a .keras file, to load after `import resnet`;
npz, arrays under public names. With --preprocessing, models take pixels of 0 to 255, else images
prepared as in training; an .npz file gets the offset and the divisor, (image - offset) / divisor.
The classes' names are in the file: the SavedModel's signature label_names, the Keras layer's
label_names, the array label_names.
"""

import pathlib

from resnet.commands import options
from resnet.commands.cifar_train import RESULTS
from resnet.errors import UsageError

ESSENTIAL = ("id", "format", "preprocessing", "output")
# format -> ending of its files
ENDINGS = {"saved_model": "", "keras": ".keras", "npz": ".npz"}


def define_flags(flags):
    """Defines the command's flags."""
    options.define_experiment_flags(flags, RESULTS, "Experiment to export.")
    flags.text("Experiment", "format", "What to write.", "saved_model", choices=ENDINGS)
    flags.switch("Experiment", "preprocessing", "Let the model take pixels of 0 to 255.")
    options.define_best_flag(flags)
    flags.text(
        options.FOLDERS,
        "output",
        "Where to.",
        default_text="./exports/ID and the format's ending",
    )


def main(flags):
    """Writes the export."""
    from resnet.files import written_beside
    from resnet.models import get_model
    from resnet.training.experiment import load_experiment
    from resnet.training.placement import place
    from resnet.weights.export_formats import WRITERS
    from resnet.weights.trained import restore_trained, stored_preparation

    if not flags.id:
        raise UsageError("--id is needed: the experiment to export")
    experiment = load_experiment(flags.id, flags.results, flags.logs)
    ending = ENDINGS[flags.format]
    output = pathlib.Path(flags.output or f"./exports/{flags.id}{ending}")
    if output.exists():
        raise UsageError(f"{output} exists: give another --output, or remove it")
    if not output.name.endswith(ending):
        raise UsageError(f"--output is {str(output)!r}, but must end in {ending!r}")
    place(num_gpu=0)  # nothing is computed: a GPU's memory is left to others
    run = experiment.options
    model = get_model(experiment.config, backprop="stored", dtype=run.dtype, exact=run.exact)
    step = restore_trained(experiment, model, flags.best)
    model.label_names = experiment.label_names
    preparation = stored_preparation(experiment) if flags.preprocessing else None
    with written_beside(output) as temporary:
        WRITERS[flags.format](model, preparation, temporary)
    print(f"{output}: {experiment.config.name} at step {step}")
