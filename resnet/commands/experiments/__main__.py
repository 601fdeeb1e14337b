"""Trains the experiments of a YAML file, one after the other, and prints a table of them.

    python -m resnet experiments FILE.yaml

The file is a list of experiments. An experiment has a name, and as keys any flag of
run_cifar_train.py and any field of a config; a listed value is a sweep over it, `seeds`
over seeds:

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

import dataclasses
import pathlib
import shlex
import sys

from absl import flags

from resnet.commands import cli
from resnet.commands.cifar_train import define_flags as define_training_flags
from resnet.commands.experiments.plan import NOT_FOR_FILES, read_plan
from resnet.commands.experiments.report import write_report
from resnet.commands.experiments.runs import Outcome, Runner
from resnet.errors import UsageError, UserError

FLAGS = flags.FLAGS
NOT_HERE = NOT_FOR_FILES - {"results", "dry_run"}


def define_flags():
    """Defines the command's flags: the training script's, and its own."""
    define_training_flags()
    flags.DEFINE_boolean("skip_smoke_tests", False, "Train at once, without trying on few images.")


def main(path):
    """Runs the experiments of the file at `path`."""
    for name in sorted(NOT_HERE):
        if FLAGS[name].present:
            raise UsageError(f"--{name} does not go with experiments: leave it out")
    runs, problems, notices = read_plan(path)
    _raise_all(problems)
    for notice in notices:
        print(f"notice: {notice}")
    folder = pathlib.Path(FLAGS.results) / f"{pathlib.Path(path).stem}.experiments"
    runner = Runner(folder, FLAGS.results, FLAGS.logs)
    _raise_all(
        f"{path}:{run.line}: {run.id} has begun otherwise: {'; '.join(differences)}. Take that "
        f"back, rename the experiment, or remove its folders in {FLAGS.results} and {FLAGS.logs}"
        for run in runs
        if runner.has_begun(run) and (differences := runner.differences(run))
    )
    if FLAGS.dry_run:
        for run in runs:
            print(f"{run.id}: {run.config.name} on {run.options.dataset}, {_state(runner, run)}")
        return 0
    with runner.alone(path):
        outcomes = _run_all(runner, runs)
        print("\n" + write_report(outcomes, folder), flush=True)
        print(f"\nalso in {folder}/table.csv and table.md")
        if runner.is_stopped:
            again = shlex.join([sys.executable, "-m", "resnet.commands.experiments", *sys.argv[1:]])
            raise UserError(f"stopped. Continue with: {again}")
    return 0 if all(outcome.result for outcome in outcomes) else 1


def _raise_all(problems):
    """Prints all problems but the last, and raises that; nothing if there are none."""
    *others, last = [*problems] or [None]
    for problem in others:
        print(f"error: {problem}", file=sys.stderr)
    if last:
        raise UsageError(last)


def _state(runner, run):
    if runner.result(run):
        return "finished"
    return "begun" if runner.has_begun(run) else "new"


def _run_all(runner, runs):
    """[Outcome] of every run, in order."""
    outcomes = {run.id: Outcome(run, runner.result(run), "not run") for run in runs}
    failures = {}  # group -> Outcome or None: seeds make no difference
    for run in runs:
        is_new = not runner.has_begun(run)
        if is_new and run.smoke_test and not FLAGS.skip_smoke_tests and not runner.is_stopped:
            if run.group not in failures:
                print(f"\n== smoke test of {run.group}", flush=True)
                failures[run.group] = runner.smoke_test(run)
            if failure := failures[run.group]:
                outcomes[run.id] = dataclasses.replace(failure, run=run)
    for run in runs:
        if outcomes[run.id].message != "not run" or runner.is_stopped:
            continue
        if outcomes[run.id].result:
            print(f"\n== {run.id} is finished", flush=True)
            continue
        if run.source in outcomes and not outcomes[run.source].result:
            message = f"not run: {run.source}, which it starts from, is not finished"
            outcomes[run.id] = Outcome(run, None, message)
            continue
        print(f"\n== {run.id}", flush=True)
        outcomes[run.id] = runner.train(run)
    return list(outcomes.values())


if __name__ == "__main__":
    define_flags()
    cli.run(main, starts_devices=False, positional=("FILE.yaml",))
