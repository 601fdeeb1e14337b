"""Plans, tries, trains and tables the experiments of a file."""

import dataclasses
import pathlib

from resnet.commands.experiments.plan import KNOWN_KEYS, read_plan
from resnet.commands.experiments.report import write_report
from resnet.commands.experiments.runs import Outcome, Runner
from resnet.errors import UsageError, UserError, print_error


def run_file(flags, path, excluded):
    """Runs the experiments of the file at `path`; returns the exit code.

    Args:
      flags: Flags.
      path: of a YAML file.
      excluded: flags that must not be given.
    """
    for name in excluded:
        if flags.is_given(name):
            raise UsageError(f"--{name} does not go with experiments: leave it out")
    defaults = {n: getattr(flags, n) for n in KNOWN_KEYS if flags.is_given(n)}
    runs, problems, notices = read_plan(path, flags.results, defaults)
    _raise_all(problems)
    for notice in notices:
        print(f"notice: {notice}")
    folder = pathlib.Path(flags.results) / f"{pathlib.Path(path).stem}.experiments"
    runner = Runner(folder, flags.results, flags.logs)
    _raise_all(
        f"{path}:{run.line}: {run.id} has begun otherwise: {'; '.join(differences)}. Take that "
        f"back, rename the experiment, or remove its folders in {flags.results} and {flags.logs}"
        for run in runs
        if runner.has_begun(run) and (differences := runner.differences(run))
    )
    if flags.dry_run:
        for run in runs:
            print(f"{run.id}: {run.config.name} on {run.options.dataset}, {_state(runner, run)}")
        return 0
    with runner.alone(path):
        outcomes = _run_all(runner, runs, not flags.skip_smoke_tests)
        print("\n" + write_report(outcomes, folder), flush=True)
        print(f"\nalso in {folder}/table.csv and table.md")
        if runner.is_stopped:
            raise UserError(f"stopped. Continue with: {flags.line}")
    return 0 if all(outcome.result for outcome in outcomes) else 1


def _raise_all(problems):
    """Prints all problems but the last, and raises that; nothing if there are none."""
    *others, last = [*problems] or [None]
    for problem in others:
        print_error(problem)
    if last:
        raise UsageError(last)


def _state(runner, run):
    if runner.result(run):
        return "finished"
    return "begun" if runner.has_begun(run) else "new"


def _run_all(runner, runs, tries):
    """[Outcome] of every run, in order; `tries`: whether new ones are tried first."""
    outcomes = {run.id: Outcome(run, runner.result(run), "not run") for run in runs}
    failures = {}  # group -> Outcome or None: seeds make no difference
    for run in runs:
        is_new = not runner.has_begun(run)
        if is_new and run.smoke_test and tries and not runner.is_stopped:
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
