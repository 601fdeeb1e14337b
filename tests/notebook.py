"""Runs a notebook in its folder, with its outputs; python notebook.py FILE [OUTPUT]."""

import pathlib
import sys

import nbformat
from nbclient import NotebookClient

LIMIT_SECONDS = 600  # of a cell


def run_notebook(path):
    """The notebook of a file, with the outputs of a run."""
    notebook = nbformat.read(path, as_version=4)
    folder = str(pathlib.Path(path).resolve().parent)
    client = NotebookClient(
        notebook,
        timeout=LIMIT_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": folder}},
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        if "outputs" in cell:  # without what TensorFlow says when it is loaded
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    source, target = sys.argv[1], sys.argv[-1]
    nbformat.write(run_notebook(source), target)
