"""Logs of an experiment: CSV files and TensorBoard events."""

import contextlib
import csv
import datetime
import math
import pathlib
import re

import tensorflow as tf

from resnet.errors import UserError, message_of
from resnet.files import make_folder, sync, write_text, written_beside

COMMANDS = "cmd.txt"
EVENTS = "events.out.tfevents.*"  # TensorBoard's files
ROW = re.compile(r"([0-9]{1,18}),([0-9T:.+-]*),([^,]{1,40})")  # step, time, value


class Logs:
    """Appends `step,time,value` rows to CSV files, and scalars to TensorBoard."""

    def __init__(self, folder, command, columns, first_step=None, events=".", commands=COMMANDS):
        """Opens an experiment's logs.

        Args:
          folder: made if need be, with `catalog` and the commands' file.
          command: the command line, appended to it; None: no line is.
          columns: {name: column of values}; each name is a file NAME.csv and a scalar.
          first_step: rows of later steps are dropped: a restored run writes them
            again, each step once. None: all are kept, and steps may repeat.
          events: folder below of TensorBoard's files. Of two processes that write at
            the same time, each needs its own.
          commands: the name of the commands' file.
        """
        self.folder = pathlib.Path(folder)
        self._commands = self.folder / commands
        make_folder(self.folder)
        self._add_to_catalog(columns)
        if command is not None:
            path = self._commands
            with (
                self._naming_errors(path),
                open(path, "a", encoding="utf-8", errors="backslashreplace") as file,
            ):
                file.write(command + "\n")
        self._repeats = first_step is None
        last_step = math.inf if self._repeats else first_step
        self._events = self.folder / events
        self._steps = {
            name: _keep_rows(self.folder / f"{name}.csv", column, last_step)
            for name, column in columns.items()
        }
        if not self._repeats:
            drop_later_events(self._events, last_step)
        self._writer = tf.summary.create_file_writer(str(self._events))

    @staticmethod
    @contextlib.contextmanager
    def _naming_errors(path):
        """Within it, errors of writing say what a user can do."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            detail = error.strerror if isinstance(error, OSError) else message_of(error)
            raise UserError(
                f"cannot write {path}: {detail}. Free some space, then continue with --restore, or "
                "start again if nothing was saved yet; checkpoints are unchanged"
            ) from None

    def _add_to_catalog(self, columns):
        path, header = self.folder / "catalog", "filename,type,name"
        rows = []
        if path.exists():
            rows = path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
        rows += [f"{name}.csv,csv,{name}" for name in columns]
        write_text(path, "\n".join([header, *dict.fromkeys(rows), ""]))

    def commands(self):
        """The command lines that wrote here, the last one last."""
        text = self._commands.read_text(encoding="utf-8", errors="replace")
        return text.splitlines()

    def has(self, name, step):
        """Whether NAME.csv has a row of this step."""
        return step in self._steps[name]

    def values(self, name):
        """[(step, value)] of NAME.csv; empty if it is not one of the columns."""
        return read_values(self.folder / f"{name}.csv") if name in self._steps else []

    def write(self, name, step, value):
        """Appends a row to NAME.csv and a TensorBoard scalar NAME.

        Raises:
          UserError: cannot be written.
        """
        path = self.folder / f"{name}.csv"
        if self.has(name, step) and not self._repeats:
            return
        self._steps[name].add(step)
        time = datetime.datetime.now().isoformat(timespec="seconds")
        with (
            self._naming_errors(path),
            open(path, "a", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerow([step, time, value])
        # What tf.summary.scalar does, without the tensorboard package.
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        )
        with self._naming_errors(self._events), self._writer.as_default():
            tf.summary.write(name, tf.constant(value, tf.float32), step, metadata)

    def flush(self):
        """Makes what was written visible to readers."""
        with self._naming_errors(self._events):
            self._writer.flush()

    def sync(self):
        """Makes what was written outlast a power cut.

        Raises:
          UserError: cannot be written.
        """
        self.flush()
        with self._naming_errors(self.folder):
            for path in [*self.folder.glob("*.csv"), *self._events.glob(EVENTS), self._events]:
                sync(path)


def drop_later_rows(path, column, last_step):
    """Drops the rows of later steps from a log's CSV file, if there is one."""
    if path.exists():
        _keep_rows(path, column, last_step)


def _keep_rows(path, column, last_step):
    """Writes a CSV file's rows anew, but those of later steps; returns their steps."""
    rows = [row for row in _rows(path) if row[0] <= last_step]
    with (
        written_beside(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([["step", "time", column], *rows])
    return {step for step, *_ in rows}


def drop_later_events(folder, last_step):
    """Drops later steps' scalars from TensorBoard's files, and what a kill has cut short."""
    for path in folder.glob(EVENTS):
        kept, is_whole = [], True
        try:
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                is_kept = tf.compat.v1.Event.FromString(record).step <= last_step
                is_whole = is_whole and is_kept
                kept += [record] if is_kept else []
        except (tf.errors.OpError, ValueError):
            is_whole = False
        if is_whole:
            continue
        with written_beside(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            for record in kept:
                writer.write(record)


def read_values(path):
    """[(step, value)], integers and numbers, of a log's CSV file; empty if there is none."""
    return [(step, float(value)) for step, _, value in _rows(path)]


def _rows(path):
    """[(step, time, value)] of a CSV file, step an integer; [] if there is none.

    Only whole rows: a kill may have cut the last one short, and a disk damaged any.
    """
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        match = ROW.fullmatch(line.rstrip()) if line.endswith("\n") else None
        with contextlib.suppress(ValueError):
            if match and float(match[3]) is not None:
                rows.append((int(match[1]), match[2], match[3]))
    return rows
