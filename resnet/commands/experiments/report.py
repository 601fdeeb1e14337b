"""The table at the end: a row for each experiment, over its seeds."""

import csv
import itertools
import statistics

from resnet.files import write_text, written_beside
from resnet.table import aligned, markdown

HEADER = ("experiment", "runs", "accuracy, %", "parameters", "time, s", "memory, MB", "")
CSV_HEADER = (
    "experiment",
    "runs",
    "unfinished",
    *("accuracy", "accuracy_deviation"),
    "parameters",
    *("seconds", "seconds_deviation"),
    *("peak_mb", "peak_mb_deviation"),
    "message",
)


def write_report(outcomes, folder):
    """Writes table.csv and table.md to a folder; returns the table for a terminal.

    Args:
      outcomes: [runs.Outcome].
      folder: pathlib.Path.
    """
    by_group = {}
    for outcome in outcomes:
        by_group.setdefault(outcome.run.group, []).append(outcome)
    groups = list(by_group.items())
    with (
        written_beside(folder / "table.csv") as path,
        open(path, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([CSV_HEADER, *itertools.starmap(_numbers, groups)])
    rows = [HEADER, *itertools.starmap(_texts, groups)]
    write_text(folder / "table.md", markdown(rows) + "\n")
    return aligned(rows, right=(1, 2, 3, 4, 5))


def _values(outcomes):
    """[accuracy], [seconds], [MB] of the finished runs."""
    results = [outcome.result for outcome in outcomes if outcome.result]
    peaks = [result["peak_mb"] for result in results]
    return (
        [next(iter(result["accuracy"].values()))["top1"] for result in results],
        [result["training_seconds"] for result in results],
        [peak for peak in peaks if peak is not None],  # runs begun long ago have none
    )


def _messages(outcomes):
    """Why runs are not finished, each with its id where it is one of several."""
    several = len(outcomes) > 1
    return "; ".join(
        f"{outcome.run.id}: {outcome.message}" if several else outcome.message
        for outcome in outcomes
        if not outcome.result
    )


def _parameters(outcomes):
    return next((o.result["parameters"] for o in outcomes if o.result), None)


def _numbers(group, outcomes):
    """A row for the CSV file."""
    values = _values(outcomes)
    found = [_mean_and_deviation(column) for column in values]
    (accuracy, seconds, peak), finished = found, len(values[0])
    parameters = _parameters(outcomes)
    return [
        group,
        finished,
        len(outcomes) - finished,
        *accuracy,
        parameters,
        *seconds,
        *peak,
        _messages(outcomes),
    ]


def _mean_and_deviation(values):
    """(mean, sample deviation), None where there are too few values."""
    mean = statistics.fmean(values) if values else None
    return mean, statistics.stdev(values) if len(values) > 1 else None


def _texts(group, outcomes):
    """A row for people."""
    columns = _values(outcomes)
    parameters = _parameters(outcomes)
    accuracy, seconds, peak = (
        _text(values, digits) for values, digits in zip(columns, (2, 0, 0), strict=True)
    )
    count = f"{parameters:,}" if parameters else ""
    finished = f"{len(columns[0])} of {len(outcomes)}"
    return (group, finished, accuracy, count, seconds, peak, _messages(outcomes))


def _text(values, digits):
    mean, deviation = _mean_and_deviation(values)
    if mean is None:
        return ""
    spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return f"{mean:.{digits}f}{spread}"
