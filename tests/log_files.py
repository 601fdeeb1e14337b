"""CSV logs as a training writes them, and what is in TensorBoard's files."""

import tensorflow as tf


def events_of(folder):
    """Sorted [(tag, step)] of the scalars in a folder's event files, which must be whole."""
    found = []
    for path in folder.glob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            found += [(value.tag, event.step) for value in event.summary.value]
    return sorted(found)


def write_logs(folder, steps, **logs):
    """CSV files as a training writes them: a value for each of the steps."""
    folder.mkdir()
    for name, values in logs.items():
        pairs = zip(steps, values, strict=True)
        rows = [f"{step},2026-11-21T00:00:00,{value}" for step, value in pairs]
        (folder / f"{name}.csv").write_text("\n".join(["step,time,x", *rows]) + "\n")
    return folder
