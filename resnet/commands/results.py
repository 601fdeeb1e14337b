"""Writes tables of finished experiments into a Markdown page, and keeps their logs beside it.

    resnet results RESULTS.md

In the page, a table stands between two comments, and is written anew:

    <!-- resnet results fast_* long_* -->
    <!-- end of results -->

It has a row for every finished experiment whose id fits one of the patterns, in their order (those
with blanks stand in quotes), and
one for the mean of those that differ in their seed alone. An accuracy that is not of the whole test
split says what it is of. What a row is made of (conf.json,
result.json, commands, CSV logs) is copied to the folder --keep; a row stays as long as it is there.
"""

import datetime
import fnmatch
import json
import os
import pathlib
import re
import shlex
import statistics
import urllib.parse

from resnet.commands import cifar_train, options
from resnet.errors import UsageError
from resnet.plurals import counted
from resnet.provenance import images_per_second
from resnet.settings import FREE
from resnet.table import markdown
from resnet.training.conf import LATEST, RUN

POSITIONAL = ("PAGE.md",)
ESSENTIAL = ("results", "logs", "keep")
START, END = "<!-- resnet results ", "<!-- end of results -->"
BLOCK = re.compile(rf"({START}(?P<patterns>[^\n]+) -->(?P<end>\r?\n)).*?({END})", re.DOTALL)
SEED = re.compile(r"\.seed-\d+(?![^.\"/])")  # in an id
PLACE = f"two lines, {START}ID... --> and {END}"
MISSING = f"give a Markdown file that has a place for a table, {PLACE}"
HEADER = ("run", "data set", "accuracy, %", "images", "time", "images/s", "memory, MB", "commit")


def define_flags(flags):
    """Defines the command's flags."""
    flags.text(options.FOLDERS, "results", "Folder of experiments.", cifar_train.RESULTS)
    flags.text(options.FOLDERS, "logs", "Folder of their logs.", "./logs/public")
    flags.text(options.FOLDERS, "keep", "Folder that keeps what rows are made of.", "./results_log")


def main(flags, page):
    """Writes the page."""
    from resnet.files import write_text
    from resnet.training.record import keep_records, read_records

    path = pathlib.Path(page)
    try:
        text = path.read_bytes().decode("utf-8")  # lines keep their ends
    except FileNotFoundError:
        raise UsageError(f"no page {page!r}: {MISSING}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{page} is not UTF-8 text: {MISSING}") from None
    blocks = list(BLOCK.finditer(text))
    patterns = [p for block in blocks for p in _patterns(block)]
    if not patterns:
        raise UsageError(
            f"{page} has no place for a table: write {PLACE}, with ids or patterns of them for ID"
        )
    if not len(blocks) == text.count(START) == text.count(END):
        raise UsageError(
            f"{page} has {text.count(START)} lines {START}ID... -->, {text.count(END)} lines {END} "
            f"and {counted(len(blocks), 'table')} between two of them: each table has {PLACE}"
        )

    def is_wanted(name):
        return any(_fits(name, pattern) for pattern in patterns)

    copied = keep_records(flags.results, flags.logs, flags.keep, is_wanted)
    records = read_records(flags.keep, is_wanted)
    for pattern in dict.fromkeys(patterns):
        if not any(_fits(record.id, pattern) for record in records):
            print(
                f"notice: no finished experiment in {flags.results} or {flags.keep} fits {pattern}"
            )

    def table(block):
        wanted = {  # each once, where the first pattern has it
            record.id: record
            for pattern in _patterns(block)
            for record in records
            if _fits(record.id, pattern)
        }
        made = f"\n{records_table(list(wanted.values()), path.parent)}\n\n"
        return f"{block[1]}{made.replace(chr(10), block['end'])}{END}"

    write_text(path, BLOCK.sub(table, text))
    count = counted(len(records), "experiment")
    print(f"{page}: {count}, {len(copied)} of them new in {flags.keep}")


def _patterns(block):
    """The patterns of a table's place; those with blanks stand in quotes."""
    try:
        return shlex.split(block["patterns"])
    except ValueError as error:
        raise UsageError(f"{START}{block['patterns']} --> cannot be read: {error}") from None


def _fits(name, pattern):
    """Whether an id is a pattern's, or the pattern itself."""
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def records_table(records, folder):
    """A Markdown table of records, and the machines and versions they were made with.

    Args:
      records: [training.record.Record].
      folder: of the page, for links.
    """
    rows, groups = [HEADER], {}
    for record in records:
        rows.append(_row(record, folder))
        name = SEED.sub("", record.id)
        same = name, _dataset(record), _images(record), record.result["step"], _settings(record)
        groups.setdefault(same, []).append(record)
    for (name, *_), group in groups.items():
        if len(group) > 1 and all(_accuracy(record) is not None for record in group):
            rows.append(_mean_row(name, group))
    made = {}
    for record in records:
        versions = ", ".join(f"{n} {v}" for n, v in record.result["versions"].items())
        made.setdefault(f"{record.result['machine']}; {versions}", []).append(record.id)
    notes = []
    for text, ids in made.items():
        whose = "" if len(made) == 1 else f" of {', '.join(ids)}"
        notes.append(f"Machine and versions{whose}: {text}.")
    return "\n\n".join([markdown(rows), *notes])


def _settings(record):
    """What makes an experiment another one, but its seed, as a text."""
    run = record.conf.get(RUN)
    fields = record.conf | (run if isinstance(run, dict) else {})
    kept = {name: v for name, v in fields.items() if name not in {*FREE, "seed", RUN, LATEST}}
    return SEED.sub("", json.dumps(kept, sort_keys=True))  # it may start from one of its seed


def _accuracy(record):
    """Top-1 accuracy on what the run looked at, in per cent; None if it is evaluated apart."""
    found = next(iter(record.result["accuracy"].values()), None)
    return found and found["top1"]


def _options(record, name):
    """A run option, as the first and the latest run had it; [] if nobody says."""
    parts = (record.conf.get(key, {}) for key in (RUN, LATEST))
    return [part[name] for part in parts if isinstance(part, dict) and name in part]


def _dataset(record):
    return str(next(iter(_options(record, "dataset")), None) or "")


def _images(record):
    """Which images an accuracy is of, as a mark behind it; "" of the whole test split, or none."""
    split, accuracy = next(iter(record.result["accuracy"].items()), ("test", {}))
    count = accuracy.get("num_images")
    # A look at fewer images leaves the accuracy of more.
    is_part = count is not None and count in _options(record, "eval_images")
    if split == "test" and not is_part:
        return ""
    images = [f"{'the first ' if is_part else ''}{counted(count, 'image')}"] if count else []
    return f" ({', '.join([split, *images])})"


def _row(record, folder):
    result, accuracy = record.result, _accuracy(record)
    images = result["step"] * record.conf["batch_size"]
    seconds = result["training_seconds"]
    time = datetime.timedelta(seconds=round(seconds + result["evaluation_seconds"]))
    link = urllib.parse.quote(os.path.relpath(record.folder / "cmd.txt", folder))
    return (
        f"[{record.id}]({link})",
        _dataset(record),
        "" if accuracy is None else f"{accuracy:.2f}{_images(record)}",
        f"{images:,}",
        str(time),
        images_per_second(images, seconds),
        "" if result["peak_mb"] is None else f"{result['peak_mb']:,.0f}",
        result.get("commit") or "",
    )


def _mean_row(name, group):
    values = [_accuracy(record) for record in group]
    spread = f"**{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}**"
    cells = (f"**{name}**, mean of {len(group)}", _dataset(group[0]), spread + _images(group[0]))
    return (*cells, *[""] * (len(HEADER) - len(cells)))
