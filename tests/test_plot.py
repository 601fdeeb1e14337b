"""python -m resnet plot: what is in the pictures, and the files."""

import numpy as np

from processes import run_quickly, write_config
from resnet.commands.plot.curves import draw_curves
from resnet.commands.plot.predictions import confusion_matrix, draw_mistakes, worst_mistakes

LABELS = np.array([0, 1, 2, 2])
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])


def test_a_confusion_matrix_counts_true_by_predicted():
    counts = confusion_matrix(LABELS, PROBABILITIES.argmax(axis=1), 3)
    np.testing.assert_array_equal(counts, [[1, 0, 0], [1, 0, 0], [0, 1, 1]])


def test_the_worst_mistakes_are_the_most_confident_ones():
    np.testing.assert_array_equal(worst_mistakes(LABELS, PROBABILITIES), [2, 1])
    images = np.zeros([4, 8, 8, 3], np.uint8)
    figure = draw_mistakes(images, LABELS, PROBABILITIES, ["cat", "dog", "owl"], "title")
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["owl\nnot dog (0.70)", "dog\nnot cat (0.60)"]


def test_curves_show_the_logged_values(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for log, values in {"train_ce": (2.0, 1.0), "learn_rate": (0.1, 0.01)}.items():
            rows = [
                f"{step},2026-11-21T00:00:00,{value}"
                for step, value in zip((5, 9), values, strict=True)
            ]
            (tmp_path / name / f"{log}.csv").write_text("\n".join(["step,time,x", *rows]) + "\n")
    loss, accuracy, rate = draw_curves({name: tmp_path / name for name in ("a", "b")}).axes
    assert [list(line.get_xdata()) for line in loss.lines] == [[5, 9], [5, 9]]
    assert [line.get_label() for line in loss.lines] == ["a", "b"]
    assert list(rate.lines[1].get_ydata()) == [0.1, 0.01]
    assert rate.get_yscale() == "log" and not accuracy.lines


def test_pictures_of_a_run(tmp_path):
    config = write_config(tmp_path, evaluate_every=1)
    places = [f"--results={tmp_path}/results", f"--logs={tmp_path}/logs"]
    train = [f"--config={config}", "--dataset=synthetic", "--id=a", "--max_num_steps=2"]
    assert run_quickly("run_cifar_train.py", *train, *places).returncode == 0
    pictures = {
        "all": ["curves.png", "a-confusion.png", "a-mistakes.png"],
        "curves": ["curves.png"],
    }
    for folder, names in pictures.items():
        output = tmp_path / folder
        flag = "--curves_only" if folder == "curves" else "--nocurves_only"
        done = run_quickly("resnet.commands.plot", "a", f"--output={output}", flag, *places)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [f"{output}/{name}" for name in names]
        assert sorted(path.name for path in output.iterdir()) == sorted(names)
        for path in output.iterdir():
            content = path.read_bytes()
            assert content.startswith(b"\x89PNG") and len(content) > 5_000
