"""The notebook runs from its first cell to its last."""

import json

import pytest

from notebook import run_notebook
from processes import REPOSITORY

NOTEBOOK = REPOSITORY / "examples" / "playground.ipynb"
LARGEST = 200_000  # bytes


def test_outputs_are_there_and_small():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < LARGEST and '"stderr"' not in text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]


@pytest.mark.slow
def test_it_runs():
    printed = [
        output.text
        for cell in run_notebook(NOTEBOOK).cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    ]
    accuracy, _, error = printed
    assert float(accuracy.split("=")[1]) > 95 and error.split()[-1] == "0.0"
