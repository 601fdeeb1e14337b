"""resnet plot: what is in the pictures, and the files."""

import dataclasses
import re

import numpy as np

from log_files import write_logs
from processes import run_quickly, write_config
from resnet.commands.plot.curves import draw_curves
from resnet.commands.plot.predictions import (
    draw_confusion_matrix,
    draw_mistakes,
    worst_mistakes,
)
from resnet.commands.plot.trained import draw_trained
from resnet.training.experiment import load_experiment

LABELS = np.array([0, 1, 2, 2])
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])


def test_a_confusion_matrix_counts_true_by_predicted():
    axis, _ = draw_confusion_matrix(LABELS, PROBABILITIES, ["cat", "dog", "owl"], "title").axes
    counts = [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    assert [int(text.get_text()) for text in axis.texts] == [n for row in counts for n in row]
    # Cells are coloured by the share of their row.
    np.testing.assert_array_equal(axis.images[0].get_array(), [[1, 0, 0], [1, 0, 0], [0, 0.5, 0.5]])
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted", "true")


def test_the_worst_mistakes_are_the_most_confident_ones():
    np.testing.assert_array_equal(worst_mistakes(LABELS, PROBABILITIES), [2, 1])
    images = np.zeros([4, 8, 8, 3], np.uint8)
    figure = draw_mistakes(images, LABELS, PROBABILITIES, ["cat", "dog", "owl"], "title")
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["true: owl\npredicted: dog (0.70)", "true: dog\npredicted: cat (0.60)"]
    right = np.eye(3)[LABELS]
    (note,) = draw_mistakes(images, LABELS, right, ["cat", "dog", "owl"], "title").texts[:1]
    assert note.get_text() == "no mistakes"


def texts_of(legend):
    return [text.get_text() for text in legend.get_texts()]


def test_curves_show_the_logged_values(tmp_path):
    logs = {"train_ce": (2.0, 1.0), "learn_rate": (0.1, 0.01)}
    folders = {name: write_logs(tmp_path / name, (5, 9), **logs) for name in ("a", "b")}
    loss, accuracy, rate = draw_curves(folders).axes
    assert [list(line.get_xdata()) for line in loss.lines] == [[5, 9], [5, 9]]
    assert texts_of(loss.get_legend()) == texts_of(rate.get_legend()) == ["a", "b"]
    assert list(rate.lines[1].get_ydata()) == [0.1, 0.01]
    assert rate.get_yscale() == "log" and not accuracy.lines and not accuracy.get_legend()
    assert {line.get_marker() for line in (*loss.lines, *rate.lines)} == {""}


def test_evaluations_are_drawn_by_step_and_whole_ones_alone(tmp_path):
    logs = {"valid_acc": (60, 50, 12, 57), "valid_images": (9, 9, 3, 9), "train_ce": (1, 1, 1, 1)}
    folder = write_logs(tmp_path / "_a", (10, 5, 10, 7), **logs)
    _, accuracy, _ = draw_curves({"_a": folder}).axes
    (line,) = accuracy.lines
    assert np.column_stack(line.get_data()).tolist() == [[5, 50], [7, 57], [10, 60]]
    assert texts_of(accuracy.get_legend()) == [" _a, evaluation"]  # _ would hide it

    # A look at step 5 that was killed once its number of images was written; and one of before
    # numbers were.
    with open(folder / "valid_images.csv", "a") as file:
        file.write("5,2026-01-01,3\n")
    with open(folder / "valid_acc.csv", "a") as file:
        file.write("8,2026-01-01,58\n")
    (line,) = draw_curves({"_a": folder}).axes[1].lines
    assert np.column_stack(line.get_data()).tolist() == [[5, 50], [7, 57], [8, 58], [10, 60]]


def test_names_may_have_dollars():
    names = ["under_$5", "$5_to_$10", "owl"]
    images = np.zeros([4, 8, 8, 3], np.uint8)
    figures = [
        draw_confusion_matrix(LABELS, PROBABILITIES, names, "$a_{"),
        draw_mistakes(images, LABELS, PROBABILITIES, names, "$a_{"),
    ]
    for figure in figures:
        figure.draw_without_rendering()


def test_a_curve_of_one_point_is_a_point(tmp_path):
    logs = {"train_ce": [2.0], "train_acc": [10.0], "valid_acc": [9.0], "learn_rate": [0.1]}
    for axis in draw_curves({"a": write_logs(tmp_path / "a", [3], **logs)}).axes:
        assert axis.lines and all(line.get_marker() == "o" for line in axis.lines)


def test_pictures_of_a_run(tmp_path):
    config = write_config(tmp_path, evaluate_every=1)
    places = [f"--results={tmp_path}/results", f"--logs={tmp_path}/logs"]
    train = [f"--config={config}", "--dataset=synthetic", "--id=a", "--max_num_steps=2"]
    trained = run_quickly("run_cifar_train.py", *train, *places)
    assert trained.returncode == 0, trained.stderr
    pictures = {
        "all": ["curves.png", "a-confusion.png", "a-mistakes.png"],
        "curves": ["curves.png"],
    }
    for folder, names in pictures.items():
        output = tmp_path / folder
        flag = "--curves_only" if folder == "curves" else "--nocurves_only"
        done = run_quickly("plot", "a", f"--output={output}", flag, *places)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [f"{output}/{name}" for name in names]
        assert sorted(path.name for path in output.iterdir()) == sorted(names)
        for path in output.iterdir():
            content = path.read_bytes()
            assert content.startswith(b"\x89PNG") and len(content) > 5_000

    accuracy = float(re.search(r"Final test accuracy = (\S+)", trained.stdout)[1])
    experiment = load_experiment("a", tmp_path / "results", tmp_path / "logs")
    confusion, mistakes = draw_trained(experiment, "./data").values()
    title = f"a\nrevnet-38 at step 2, {accuracy:.2f} % of 2,000 test images"
    assert confusion.axes[0].get_title() == mistakes.get_suptitle() == title

    done = run_quickly("report", "a", f"--output={tmp_path}/a.html", *places)
    assert done.stdout.splitlines() == [f"{tmp_path}/a.html"], done.stderr
    assert (tmp_path / "a.html").read_text().count("data:image/png;base64,") == 3
    held_out = dataclasses.replace(experiment.options, validation=True)
    confusion, _ = draw_trained(
        dataclasses.replace(experiment, options=held_out), "./data"
    ).values()
    assert confusion.axes[0].get_title().endswith(" % of 1,000 held-out images")
