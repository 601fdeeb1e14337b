"""Draws experiments as PNG files.

    resnet plot ID [ID...]

curves.png: loss, accuracy and learning rate of all of them. For each that is trained on
CIFAR, own images or the embedded data set and has a checkpoint, ID-confusion.png, its confusion
matrix on the test images (those held out, if it tunes with --validation), and ID-mistakes.png, its
most confident mistakes.
"""

import pathlib

from resnet.commands.options import FOLDERS, define_best_flag
from resnet.errors import UserError

POSITIONAL = ("ID...",)


def define_flags(flags):
    """Defines the command's flags."""
    flags.text(FOLDERS, "results", "Folder of conf.json and checkpoints.", "./results/cifar")
    flags.text(FOLDERS, "logs", "Folder of the logs.", "./logs/public")
    flags.text(FOLDERS, "data_folder", "Folder of the data sets.", "./data")
    flags.text(FOLDERS, "output", "Folder of the pictures.", "./plots")
    define_best_flag(flags)
    flags.switch("Pictures", "curves_only", "Draw no predictions, which need the data set.")


def main(flags, *experiment_ids):
    """Draws the experiments."""
    from resnet.commands.cifar_train import data_folder_of
    from resnet.commands.plot.curves import draw_curves, logs_of
    from resnet.commands.plot.trained import draw_trained
    from resnet.data.registry import CIFAR
    from resnet.training.experiment import load_experiment

    output = pathlib.Path(flags.output)
    experiments = [load_experiment(i, flags.results, flags.logs) for i in experiment_ids]
    with_logs = logs_of(experiments)
    if with_logs:
        _save(draw_curves(with_logs), output / "curves.png")
    are_drawn = False
    for experiment in experiments:
        if flags.curves_only:
            continue
        if experiment.options.dataset not in CIFAR:
            print(f"{experiment.id}: no predictions: {experiment.options.dataset} has no test set")
            continue
        try:
            figures = draw_trained(experiment, data_folder_of(flags, experiment), flags.best)
        except UserError as error:
            print(f"{experiment.id}: no predictions: {error}")
            continue
        for name, figure in figures.items():
            _save(figure, output / f"{experiment.id}-{name}.png")
        are_drawn = True
    if not with_logs and not are_drawn:
        raise UserError("there was nothing to draw: give experiments that have logs or checkpoints")


def _save(figure, path):
    from resnet.commands.plot.figure import save_figure

    save_figure(figure, path)
    print(path)
