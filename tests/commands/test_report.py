"""The page about trainings: what stands in it, and that nothing is fetched for it."""

import dataclasses
import html.parser
import json

import pytest

import resnet
from log_files import write_logs
from processes import error_of, run_quickly
from resnet.commands.report.page import page
from resnet.settings import RunOptions
from resnet.training.experiment import Experiment

RESULT = {
    "step": 10,
    "accuracy": {"test": {"top1": 91.5, "top5": 99.25, "num_images": 10}},
    "parameters": 1234,
    "training_seconds": 50.0,
    "peak_mb": 1234.4,
    "versions": {"python": "3.11"},
    "machine": "M & M",
    "commit": None,
}


class Page(html.parser.HTMLParser):
    """The rows of a page's tables, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.marked, self.loaded, self.open = {}, set(), [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.loaded += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.row, self.is_marked = [], dict(attributes).get("class") == "other"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "tr" and len(self.row) > 1:
            name, *values = self.row
            self.rows[name] = values
            self.marked |= {name} if self.is_marked else set()

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "td"):
            self.row.append(data)


@pytest.fixture
def experiments(tmp_path):
    def make(name, result, **changes):
        config = dataclasses.replace(resnet.get_config("revnet-test"), **changes)
        options = RunOptions(dataset="synthetic")
        one = Experiment(name, config, options, tmp_path / name, tmp_path / "logs" / name)
        one.save()
        if result is not None:
            (one.results / "result.json").write_text(result)
        one.logs.parent.mkdir(exist_ok=True)
        write_logs(one.logs, (5, 10), train_ce=(2.0, 1.0), learn_rate=(0.1, 0.01))
        (one.logs / "cmd.txt").write_bytes(f"train --id={name} <&>\n".encode() + b"\xff\n")
        return one

    return [make("a<b", json.dumps(RESULT)), make("c", None, seed=3), make("d", "[]")]


def test_runs_stand_side_by_side(experiments):
    text = page(experiments, {one.id: {} for one in experiments})
    found = Page(text)
    assert found.rows["test top-1"] == ["91.50 % of 10 images"] and found.rows["machine"] == [
        "M & M"
    ]
    assert found.rows["images"] == [f"{10 * experiments[0].config.batch_size} in 10 steps"]
    assert found.rows["state"] == ["not finished", "result.json is damaged"]
    assert found.rows["seed"] == ["0", "3", "0"] and "seed" in found.marked
    assert found.rows["units"] == ["2, 2"] * 3 and "units" not in found.marked
    assert list(found.rows).index("seed") < list(found.rows).index("units")
    assert "train --id=a&lt;b &lt;&amp;&gt;" in text and "<b>" not in text


def test_all_of_it_is_in_the_page(experiments):
    found = Page(page(experiments, {one.id: {} for one in experiments}))
    kinds = [link.partition(",")[0] for link in found.loaded]
    assert kinds == ["data:", "data:image/png;base64"]


def test_an_experiment_without_logs_is_named(experiments, tmp_path, capsys):
    moved = dataclasses.replace(experiments[0], logs=tmp_path / "elsewhere")
    page([moved, experiments[1]], {one.id: {} for one in experiments})
    said = capsys.readouterr().out
    assert said == f"a<b: no curves: {tmp_path}/elsewhere has no logs of a training\n"


def test_an_experiment_that_is_not_there(tmp_path):
    done = run_quickly("report", "gone", f"--results={tmp_path}")
    assert "no experiment 'gone'" in error_of(done)
