"""Makes a trained experiment's weights a folder that one argument loads.

    resnet publish --id EXP
    resnet.get_model(MODEL, weights="./published/MODEL_DATASET")

The folder holds weights.npz, facts.json and README.md, a model card. The network is evaluated on
the test images of its data set, plain and with mirror images. Kernels are stored as float16 where
that leaves both accuracies as they are, else as float32.
"""

import pathlib

from resnet.commands import cifar_train, options
from resnet.data.registry import CIFAR
from resnet.errors import DataError, UsageError

ESSENTIAL = ("id", "output", "data_folder")
DIGITS = 2  # of an accuracy in per cent, as it is printed


def define_flags(flags):
    """Defines the command's flags."""
    options.define_experiment_flags(flags, cifar_train.RESULTS, "Experiment to publish.")
    options.define_best_flag(flags)
    cifar_train.define_data_folder(flags)
    flags.text(options.FOLDERS, "output", "Where to.", default_text="./published/MODEL_DATASET")
    flags.text("Card", "note", "Sentence for the model card: what its settings do not say.")


def main(flags):
    """Evaluates the weights and writes the folder."""
    from resnet.models import get_model
    from resnet.training.experiment import load_experiment
    from resnet.training.own_images import dataset_of
    from resnet.training.result import read_result
    from resnet.weights.checkpoint import list_checkpoints
    from resnet.weights.folder import RESULT
    from resnet.weights.publishing import TRAINED, facts_of, write_pretrained
    from resnet.weights.trained import restore_trained, stored_preparation

    if not flags.id:
        raise UsageError("--id is needed: the experiment to publish")
    experiment = load_experiment(flags.id, flags.results, flags.logs)
    config, name = experiment.config, experiment.options.dataset
    if name not in CIFAR:
        raise UsageError(
            f"{experiment.id} is trained on {name}, and only networks of {', '.join(CIFAR)} can be "
            "published: write its weights with resnet export"
        )
    output = pathlib.Path(flags.output or f"./published/{config.name}_{name}")
    if output.exists():
        raise UsageError(f"{output} exists: give another --output, or remove it")
    path = experiment.results / RESULT
    result = read_result(path) if path.exists() else None
    last = max(list_checkpoints(experiment.results), default=None)
    again = f"continue it with --restore --id {experiment.id}"
    if result is None or last not in (None, result["step"]):
        raise UsageError(f"{experiment.id} has not come to its end: {again}")
    if missing := [name for name in TRAINED if name not in result]:
        raise DataError(f"{path} has no {', '.join(missing)}: {again} to write it anew")
    model = get_model(config)
    step = restore_trained(experiment, model, flags.best)
    dataset, preparation = (
        dataset_of(experiment, cifar_train.data_folder_of(flags, experiment)),
        stored_preparation(experiment),
    )
    weights, found = _smallest(model, dataset.test, preparation)
    facts = facts_of(model, experiment, dataset.label_names, result)
    facts |= found | {"step": step} | ({"note": flags.note} if flags.note else {})
    if flags.best:
        facts |= {
            "last_step": result["step"],
            "chosen": chosen_by(experiment.options, len(dataset.test)),
        }
    write_pretrained(output, weights, preparation, facts)
    plain, flipped = found["accuracy"]["top1"], found["accuracy"]["flipped_top1"]
    print(f"{output}: {plain:.2f} %, with mirror images {flipped:.2f} %, {found['stored_as']}")


def chosen_by(run, num_images):
    """What the best checkpoint of a run with these options was chosen by, of so many images."""
    images = "the validation split" if run.validation else "these test images"
    if run.eval_images and run.eval_images < num_images:
        images = f"the first {run.eval_images:,} of {images}"
    return f"the best of its evaluations on {images}"


def _smallest(model, test, preparation):
    """(weights as they are stored, facts of what they reach), as small as accuracy allows."""
    import tensorflow as tf

    from resnet.data.cifar.pipeline import evaluation_batches
    from resnet.training.evaluation import Evaluation, class_probabilities
    from resnet.weights.publishing import stored

    def evaluated(weights):
        model.set_weights({name: value.astype("float32") for name, value in weights.items()})
        return Evaluation(model, flips=True)(batches).to_json()

    batches = evaluation_batches(test, preparation, model.config.evaluation_batch_size)
    whole = model.get_weights()
    wanted = _printed(evaluated(whole))
    for dtype in ("float16", "float32"):
        weights = stored(whole, dtype)
        accuracy = evaluated(weights)
        if _printed(accuracy) == wanted:
            break
    taken = class_probabilities(model, batches).argmax(axis=1)
    counts = tf.math.confusion_matrix(test.labels, taken, model.config.num_classes).numpy()
    confusion = [" ".join(map(str, row)) for row in counts]
    return weights, {"accuracy": accuracy, "stored_as": dtype, "confusion": confusion}


def _printed(accuracy):
    """The two accuracies as they are printed."""
    return [round(accuracy[name], DIGITS) for name in ("top1", "flipped_top1")]
