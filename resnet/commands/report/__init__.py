"""Writes one HTML page about trainings, with all that is in it: it opens without a network.

    resnet report ID [ID...]

Curves of all of them; side by side what they are and what they reached: settings, accuracy, time,
memory, commands, commit, versions and machine; and of each that is trained on CIFAR, own images or
the synthetic data set, its confusion matrix and its most confident mistakes on the test images.
"""

import pathlib

from resnet.commands import options
from resnet.commands.cifar_train import define_data_folder

POSITIONAL = ("ID...",)
ESSENTIAL = ("output", "results", "logs", "data_folder", "best")


def define_flags(flags):
    """Defines the command's flags."""
    flags.text(options.FOLDERS, "results", "Folder of experiments.", "./results/cifar")
    flags.text(options.FOLDERS, "logs", "Folder of their logs.", "./logs/public")
    define_data_folder(flags)
    flags.text(
        options.FOLDERS,
        "output",
        "The page.",
        default_text="./plots/ID.html, or ID_and_N_more.html",
    )
    options.define_best_flag(flags)
    flags.switch("Pictures", "curves_only", "Draw no predictions, which need the data set.")


def main(flags, *experiment_ids):
    """Writes the page."""
    from resnet.commands.report.page import page, predictions
    from resnet.files import write_text
    from resnet.training.experiment import load_experiment

    experiments = [load_experiment(i, flags.results, flags.logs) for i in experiment_ids]
    output = pathlib.Path(flags.output or f"./plots/{_name(experiment_ids)}.html")
    pictures = {}
    for experiment in experiments:
        found, reason = ({}, "") if flags.curves_only else predictions(experiment, flags)
        pictures[experiment.id] = found
        if reason:
            print(f"{experiment.id}: no predictions: {reason}")
    write_text(output, page(experiments, pictures))
    print(output)


def _name(experiment_ids):
    """What a page of experiments is called."""
    first, *others = experiment_ids
    return f"{first}_and_{len(others)}_more" if others else first
