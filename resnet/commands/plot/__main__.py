"""Draws experiments as PNG files.

    python -m resnet plot ID [ID...]

curves.png: loss, accuracy and learning rate of all of them. For each that is trained on
CIFAR or the synthetic data set and has a checkpoint, ID-confusion.png, its confusion matrix
on the test images, and ID-mistakes.png, its most confident mistakes.
"""

import pathlib

from absl import flags

from resnet.commands import cli
from resnet.commands.flags import define_best_flag
from resnet.commands.plot.curves import draw_curves
from resnet.commands.plot.figure import save_figure
from resnet.commands.plot.predictions import draw_confusion_matrix, draw_mistakes, predict
from resnet.data.cifar.input import NUM_CLASSES, load_dataset
from resnet.data.cifar.pipeline import evaluation_batches
from resnet.errors import UserError
from resnet.models import get_model
from resnet.training.experiment import load_experiment
from resnet.weights.trained import restore_trained, stored_preparation

FLAGS = flags.FLAGS


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_string("results", "./results/cifar", "Folder of conf.json and checkpoints.")
    flags.DEFINE_string("logs", "./logs/public", "Folder of the logs.")
    flags.DEFINE_string("data_folder", "./data", "Folder of the data sets.")
    flags.DEFINE_string("output", "./plots", "Folder of the pictures.")
    define_best_flag()
    flags.DEFINE_boolean("curves_only", False, "Draw no predictions, which need the data set.")


def main(*experiment_ids):
    """Draws the experiments."""
    output = pathlib.Path(FLAGS.output)
    experiments = [load_experiment(i, FLAGS.results, FLAGS.logs) for i in experiment_ids]
    with_logs = {e.id: e.logs for e in experiments if (e.logs / "train_ce.csv").exists()}
    if with_logs:
        _save(draw_curves(with_logs), output / "curves.png")
    are_drawn = False
    for experiment in experiments:
        if experiment.id not in with_logs:
            print(f"{experiment.id}: no curves: {experiment.logs} has no logs of a training")
        if FLAGS.curves_only:
            continue
        if experiment.options.dataset not in NUM_CLASSES:
            print(f"{experiment.id}: no predictions: {experiment.options.dataset} has no test set")
            continue
        are_drawn |= _draw_predictions(experiment, output)
    if not with_logs and not are_drawn:
        raise UserError("there was nothing to draw: give experiments that have logs or checkpoints")


def _draw_predictions(experiment, output):
    """Draws the pictures of a trained model; returns whether it could, and says why not."""
    config, options = experiment.config, experiment.options
    model = get_model(config, "stored", options.dtype, options.exact)
    try:
        step = restore_trained(experiment, model, FLAGS.best)
        preparation = stored_preparation(experiment)
        dataset = load_dataset(options.dataset, FLAGS.data_folder)
    except UserError as error:
        print(f"{experiment.id}: no predictions: {error}")
        return False
    test, names = dataset.test, dataset.label_names
    batches = evaluation_batches(test, preparation, config.evaluation_batch_size)
    probabilities = predict(model, batches)
    accuracy = 100 * (probabilities.argmax(axis=1) == test.labels).mean()
    title = f"{experiment.id}: {config.name} at step {step:,}, {accuracy:.2f} % of {len(test):,}"
    matrix = draw_confusion_matrix(test.labels, probabilities, names, title)
    _save(matrix, output / f"{experiment.id}-confusion.png")
    mistakes = draw_mistakes(test.images, test.labels, probabilities, names, title)
    _save(mistakes, output / f"{experiment.id}-mistakes.png")
    return True


def _save(figure, path):
    save_figure(figure, path)
    print(path)


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=("ID...",))
