"""Trains the experiments of a YAML file, one after the other, and prints a table of them.

    resnet experiments FILE.yaml

The file is a list of experiments. An experiment has a name, and as keys any flag of
resnet train-cifar and any field of a config; a listed value is a sweep over it, `seeds`
over seeds (of settings that are lists themselves, a list of lists):

    - name: wide
      model: wrn-16-4
      dataset: cifar-10
      dropout: [0, 0.3]
      seeds: [0, 1, 2]
      max_num_steps: 2000

Everything is validated before anything runs, and each experiment is tried on a few images
first. Run again, the command skips what is finished and continues what was interrupted. A
flag given here holds for every experiment that does not set it itself. The table is also
written, as CSV and Markdown, to RESULTS/NAME.experiments/. cifar-vs-tensorflow2's files of
experiments are understood too.
"""

from resnet.commands import cifar_train, options

POSITIONAL = ("FILE.yaml",)
ESSENTIAL = ("results", "logs", "data_folder", "dry_run", "skip_smoke_tests")
# Flags of the training command that mean nothing here: the file says it, or the runner.
NOT_HERE = ("id", "restore", "restore_step", "smoke_test", "time", "eval_only", "best", "config")


def define_flags(flags):
    """Defines the command's flags: the training command's, and its own."""
    cifar_train.define_flags(flags)
    flags.hide(NOT_HERE)
    flags.switch(options.TRIALS, "skip_smoke_tests", "Train at once, without trying on few images.")


def main(flags, path):
    """Runs the experiments of the file at `path`."""
    from resnet.commands.experiments.running import run_file

    return run_file(flags, path, NOT_HERE)
