"""Exports a trained experiment, or trained weights, for use elsewhere.

    resnet export --id EXP --format saved_model
    resnet export --id EXP --format keras --preprocessing
    resnet export --model revnet-38 --weights cifar-10 --preprocessing

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
from resnet.errors import UsageError, UserError
from resnet.settings import Computation, fields_of

ESSENTIAL = ("id", "model", "weights", "format", "preprocessing", "dtype", "output")
# format -> ending of its files
ENDINGS = {"saved_model": "", "keras": ".keras", "npz": ".npz"}


def define_flags(flags):
    """Defines the command's flags."""
    options.define_experiment_flags(flags, RESULTS, "Experiment to export.")
    options.define_best_flag(flags)
    options.define_weights_flags(flags)
    flags.text("File", "format", "What to write.", "saved_model", choices=ENDINGS)
    flags.switch("File", "preprocessing", "Let the model take pixels of 0 to 255.")
    flags.text(
        "File",
        "dtype",
        "Type of its arithmetic; TensorFlow Lite and ONNX need float32.",
        default_text="the experiment's; of trained weights, float32",
        choices=fields_of(Computation)["dtype"].facts.choices,
    )
    flags.text(
        options.FOLDERS,
        "output",
        "Where to.",
        default_text="./exports/ID, or MODEL_DATASET, and the format's ending",
    )


def main(flags):
    """Writes the export."""
    from resnet.files import written_beside
    from resnet.training.placement import place
    from resnet.weights.export_formats import WRITERS

    if flags.format == "npz":  # arrays compute nothing
        options.require_no(flags, ("dtype",), "--format npz")
    name, load = _trained(flags)
    ending = ENDINGS[flags.format]
    output = pathlib.Path(flags.output or f"./exports/{name}{ending}")
    if output.exists():
        raise UsageError(f"{output} exists: give another --output, or remove it")
    if not output.name.endswith(ending):
        raise UsageError(f"--output is {str(output)!r}, but must end in {ending!r}")
    place(num_gpu=0)  # nothing is computed: a GPU's memory is left to others
    model, preparation, source = load()
    with written_beside(output) as temporary:
        WRITERS[flags.format](model, preparation if flags.preprocessing else None, temporary)
    print(f"{output}: {model.config.name} {source}")


def _trained(flags):
    """(name of what is exported, what loads it), of an experiment or of trained weights.

    The loader gives the model, how its images are prepared, and where its weights are from.
    """
    pretrained = options.trained_weights(flags, "export")
    return _weights(flags, pretrained) if pretrained else _experiment(flags)


def _experiment(flags):
    from resnet.models import get_model
    from resnet.training.experiment import load_experiment
    from resnet.weights.trained import restore_trained, stored_preparation

    experiment = load_experiment(flags.id, flags.results, flags.logs)

    def load():
        run = experiment.options
        dtype = flags.dtype or run.dtype
        model = get_model(experiment.config, backprop="stored", dtype=dtype, exact=run.exact)
        step = restore_trained(experiment, model, flags.best)
        model.label_names = experiment.label_names
        try:
            model.scaling = stored_preparation(experiment)
        except UserError:  # it has not trained yet
            if flags.preprocessing:
                raise
        return model, model.scaling, f"at step {step}"

    return flags.id, load


def _weights(flags, pretrained):
    from resnet.models import get_model

    options.require_no(flags, ("results", "logs"), "--weights")

    def load():
        more = {"dtype": flags.dtype} if flags.dtype else {}
        model = get_model(pretrained.model, weights=flags.weights, backprop="stored", **more)
        return model, model.scaling, f"with weights {flags.weights}"

    return f"{pretrained.model}_{pretrained.dataset}", load
