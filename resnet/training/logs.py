"""Logs of an experiment: CSV files and TensorBoard events."""

import csv
import datetime
import pathlib

import tensorflow as tf

from resnet.errors import UserError
from resnet.files import write_text, written_beside

# file -> the column of values
COLUMNS = {
    "train_ce.csv": "ce",
    "train_acc.csv": "acc",
    "valid_acc.csv": "acc",
    "learn_rate.csv": "lr",
    "past_exact_range.csv": "count",
}


class Logs:
    """Appends `step,time,value` rows to CSV files, and scalars to TensorBoard."""

    def __init__(self, folder, command, first_step=0):
        """Opens an experiment's logs.

        Args:
          folder: made if need be, with `catalog` and `cmd.txt`.
          command: the command line, appended to cmd.txt.
          first_step: rows of later steps are dropped: a restored run writes them again.
        """
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [f"{name},csv,{name.removesuffix('.csv')}" for name in COLUMNS]
        write_text(self.folder / "catalog", "\n".join(["filename,type,name", *rows, ""]))
        with open(self.folder / "cmd.txt", "a", encoding="utf-8") as file:
            file.write(command + "\n")
        self._last_step = {
            name: self._keep_rows(self.folder / name, column, first_step)
            for name, column in COLUMNS.items()
        }
        self._writer = tf.summary.create_file_writer(str(self.folder))

    @staticmethod
    def _keep_rows(path, column, last_step):
        rows = []
        if path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                # A row that a kill cut short has fewer columns.
                rows = [
                    row
                    for row in csv.reader(file)
                    if len(row) == 3 and row[0].isdigit() and int(row[0]) <= last_step
                ]
        with (
            written_beside(path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([["step", "time", column], *rows])
        return int(rows[-1][0]) if rows else -1

    def write(self, name, step, value):
        """Appends a row to NAME.csv and a TensorBoard scalar NAME, once a step.

        Raises:
          UserError: cannot be written.
        """
        path = self.folder / f"{name}.csv"
        if step <= self._last_step[path.name]:
            return
        self._last_step[path.name] = step
        time = datetime.datetime.now().isoformat(timespec="seconds")
        try:
            with open(path, "a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow([step, time, value])
        except OSError as error:
            raise UserError(
                f"cannot write {path}: {error.strerror}. Free some space and continue with "
                "--restore; checkpoints are unchanged"
            ) from None
        # What tf.summary.scalar does, without the tensorboard package.
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        )
        with self._writer.as_default():
            tf.summary.write(name, tf.constant(value, tf.float32), step, metadata)

    def flush(self):
        """Makes what was written visible to readers."""
        self._writer.flush()
