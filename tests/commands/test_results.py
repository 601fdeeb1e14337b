"""Tables of finished experiments in a page, and what is kept of them."""

import csv
import json
import shutil

import pytest

from processes import error_of, run_quickly

PAGE = """# Page

<!-- resnet results fast_* b *_n.* -->
old
<!-- end of results -->

Text.
"""
RESULT = {
    "step": 10,
    "accuracy": {"test": {"top1": 91.0, "top5": 99.0, "num_images": 10}},
    "training_seconds": 50.0,
    "evaluation_seconds": 11.2,
    "peak_mb": 1234.4,
    "commands": ["train a"],
    "commit": "abc",
    "versions": {"python": "3.11"},
    "machine": "M",
}


def experiment(folder, name, options=None, **changes):
    """A finished experiment of 10 steps of 20 images."""
    results, logs = folder / "results" / name, folder / "logs" / name
    run = {"dataset": "cifar-10", "eval_images": None} | (options or {})
    results.mkdir(parents=True)
    logs.mkdir(parents=True)
    (results / "conf.json").write_text(json.dumps({"batch_size": 20, "run": run}))
    (results / "result.json").write_text(json.dumps(RESULT | changes))
    (results / "model.ckpt-10.index").touch()
    (logs / "cmd.txt").write_text("train\n")
    with open(logs / "train_ce.csv", "w", newline="") as file:
        csv.writer(file).writerows([["step", "time", "ce"], [10, "now", 1.5]])


def accuracy(value):
    return {"accuracy": {"test": {"top1": value}}}


@pytest.fixture
def results_command(tmp_path):
    def run(page="page.md"):
        places = [f"--{name}={tmp_path}/{name}" for name in ("results", "logs", "keep")]
        return run_quickly("results", tmp_path / page, *places)

    (tmp_path / "page.md").write_text(PAGE)
    return run


def test_rows_means_and_what_is_kept(tmp_path, results_command):
    for i, name in enumerate(("fast_n.seed-0", "fast_n.seed-1", "b", "other")):
        experiment(tmp_path, name, **accuracy(91.0 + i))
    experiment(tmp_path, "fast_unfinished")
    (tmp_path / "results/fast_unfinished/result.json").unlink()
    done = results_command()
    assert done.returncode == 0, done.stderr
    assert "3 experiments, 3 of them new" in done.stdout
    page = (tmp_path / "page.md").read_text()
    start, _, rest = page.partition("<!-- resnet results fast_* b *_n.* -->\n")
    table, _, end = rest.partition("<!-- end of results -->")
    assert (start, end) == ("# Page\n\n", "\n\nText.\n")
    lines = table.strip().splitlines()
    assert lines[2] == (
        "| [fast_n.seed-0](keep/fast_n.seed-0/cmd.txt) | cifar-10 "
        "| 91.00 | 200 | 0:01:01 | 4 | 1,234 | abc |"
    )
    assert [line.partition("]")[0] for line in lines[2:5]] == [
        "| [fast_n.seed-0",
        "| [fast_n.seed-1",
        "| [b",
    ]
    assert lines[5].startswith("| **fast_n**, mean of 2 | cifar-10 | **91.50 ± 0.71** |")
    assert lines[7] == "Machine and versions: M; python 3.11." and "other" not in table
    kept = sorted(path.name for path in (tmp_path / "keep/b").iterdir())
    assert kept == ["cmd.txt", "conf.json", "result.json", "train_ce.csv"]

    # Another machine, where the experiments are not.
    shutil.rmtree(tmp_path / "results")
    assert "3 experiments, 0 of them new" in results_command().stdout
    assert (tmp_path / "page.md").read_text() == page
    # One that was trained anew.
    experiment(tmp_path, "b2")
    shutil.rmtree(tmp_path / "logs")
    experiment(tmp_path, "b", **accuracy(12.0), machine="N")
    assert "3 experiments, 1 of them new" in results_command().stdout
    page = (tmp_path / "page.md").read_text()
    assert "cmd.txt) | cifar-10 | 12.00 |" in page
    assert "Machine and versions of b: N; python 3.11." in page


def test_seeds_within_a_sweep_have_a_mean(tmp_path, results_command):
    for i, seed in enumerate(("seed-0", "seed-1")):
        experiment(tmp_path, f"fast_n.{seed}.dropout-0.3", **accuracy(91.0 + i))
    assert results_command().returncode == 0
    page = (tmp_path / "page.md").read_text()
    assert "| **fast_n.dropout-0.3**, mean of 2 | cifar-10 | **91.50 ± 0.71** |" in page


def test_what_differs_in_more_than_the_seed_has_no_mean(tmp_path, results_command):
    experiment(tmp_path, "fast_n.seed-0")
    experiment(tmp_path, "fast_n.seed-1", step=20)
    experiment(tmp_path, "b_n.seed-0", {"init_from": "a.seed-0", "jit": "on"})
    experiment(tmp_path, "b_n.seed-1", {"init_from": "a.seed-1"})
    experiment(tmp_path, "c_n.seed-0", {"dtype": "bfloat16"})
    experiment(tmp_path, "c_n.seed-1", {"dtype": "float32"})
    done = results_command()
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.md").read_text()
    assert "6 experiments" in done.stdout and page.count("mean of") == 1
    assert "**b_n**, mean of 2" in page


def test_any_id_has_its_row(tmp_path, results_command):
    for name in ("my run", "run[1]"):
        experiment(tmp_path, name)
    path = tmp_path / "results/run[1]/result.json"
    path.write_text(json.dumps({k: v for k, v in RESULT.items() if k != "commit"}))
    (tmp_path / "page.md").write_text(PAGE.replace("fast_* b *_n.*", "'my run' run[1]"))
    done = results_command()
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.md").read_text()
    assert "[my run](keep/my%20run/cmd.txt)" in page and "[run[1]](keep/run%5B1%5D/cmd" in page
    (tmp_path / "page.md").write_text(PAGE.replace("fast_* b *_n.*", "'my run"))
    assert "cannot be read: No closing quotation" in error_of(results_command())


def test_accuracies_that_are_not_of_the_test_split_are_marked(tmp_path, results_command):
    def of(split, count):
        return {"accuracy": {split: {"top1": 19.9, "num_images": count}, "other": {"top1": 1.0}}}

    experiment(tmp_path, "b", **of("validation", 1000))
    experiment(tmp_path, "fast_a.seed-0", {"eval_images": 500}, **of("test", 500))
    options = {"dataset": "folder", "eval_images": None}
    experiment(tmp_path, "fast_a.seed-1", options, **of("test", 2000))
    conf = tmp_path / "results/fast_a.seed-1/conf.json"  # a later look at fewer
    conf.write_text(json.dumps(json.loads(conf.read_text()) | {"latest": {"eval_images": 50}}))
    done = results_command()
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ")[1:3] for line in (tmp_path / "page.md").read_text().splitlines()[6:9]]
    assert rows == [
        ["cifar-10", "19.90 (test, the first 500 images)"],
        ["folder", "19.90"],
        ["cifar-10", "19.90 (validation, 1,000 images)"],
    ]
    assert "mean of" not in (tmp_path / "page.md").read_text()  # of what is not the same
    shutil.rmtree(tmp_path / "results/b")
    shutil.rmtree(tmp_path / "keep/b")
    assert "notice: no finished experiment in " in (said := results_command().stdout)
    assert " fits b\n" in said and "fits fast" not in said


def test_a_training_without_accuracy_or_time_has_a_row(tmp_path, results_command):
    """As of ImageNet, which another process evaluates, and of what was imported."""
    experiment(tmp_path, "b", accuracy={})
    for i in range(2):
        experiment(tmp_path, f"fast_a.seed-{i}", accuracy={}, training_seconds=0.0)
    done = results_command()
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ")[2:6] for line in (tmp_path / "page.md").read_text().splitlines()[6:9]]
    assert rows == [["", "200", "0:00:11", ""]] * 2 + [["", "200", "0:01:01", "4"]]
    assert "mean of" not in (tmp_path / "page.md").read_text()


@pytest.mark.parametrize(
    "page",
    [
        PAGE.replace("<!-- end of results -->", "", 1) + "Kept.\n" + PAGE,
        PAGE + "<!-- end of results -->\n",
        PAGE + "<!-- resnet results c -->\n",
    ],
)
def test_a_comment_without_its_other_costs_no_text(tmp_path, results_command, page):
    experiment(tmp_path, "b")
    (tmp_path / "page.md").write_text(page)
    assert "lines <!-- end of results --> and 1 table between" in error_of(results_command())
    assert (tmp_path / "page.md").read_text() == page


def test_lines_keep_their_ends(tmp_path, results_command):
    experiment(tmp_path, "b")
    (tmp_path / "page.md").write_bytes(PAGE.replace("\n", "\r\n").encode())
    assert results_command().returncode == 0
    page = (tmp_path / "page.md").read_bytes()
    assert b"[b](" in page and page.count(b"\n") == page.count(b"\r\n")


def test_pages_and_records_that_do_not_do(tmp_path, results_command):
    lines = "two lines, <!-- resnet results ID... --> and <!-- end of results -->"
    assert lines in (said := error_of(results_command("gone.md"))) and "no page" in said
    assert f"PAGE.md is missing: give a Markdown file that has a place for a table, {lines}" in (
        error_of(run_quickly("results"))
    )
    (tmp_path / "latin.md").write_bytes(b"caf\xe9\n" + PAGE.encode())
    assert "latin.md is not UTF-8 text" in error_of(results_command("latin.md"))
    (tmp_path / "empty.md").write_text("# Nothing\n")
    assert "has no place for a table: write two lines" in error_of(results_command("empty.md"))
    experiment(tmp_path, "b")
    (log := tmp_path / "logs/b/cmd.txt").unlink()
    message = f"experiment b has no {log}: give the folders where it is whole"
    assert message in error_of(results_command()) and not list(tmp_path.glob("keep/*"))
    shutil.rmtree(tmp_path / "results")
    (tmp_path / "keep/b").mkdir(parents=True)
    (tmp_path / "keep/b/result.json").write_text("{")
    assert "keep/b is damaged" in error_of(results_command())
    assert (tmp_path / "page.md").read_text() == PAGE
