"""Loss, accuracy and learning rate over steps, of several runs in one picture."""

from resnet.commands.plot.figure import new_figure
from resnet.training.evaluator import NUM_IMAGES
from resnet.training.logs import read_values

# panel -> ((log, what it is), ...); the first is drawn with a line, the second dashed.
PANELS = {
    "Loss": (("train_ce", "training"),),
    "Accuracy, %": (("valid_acc", "evaluation"), ("train_acc", "training")),
    "Learning rate": (("learn_rate", ""),),
}
LINE_STYLES = ("-", "--")


def logs_of(experiments):
    """{id: folder of its logs} of the experiments that have logs; says which have none."""
    found = {}
    for experiment in experiments:
        if (experiment.logs / "train_ce.csv").exists():
            found[experiment.id] = experiment.logs
        else:
            print(f"{experiment.id}: no curves: {experiment.logs} has no logs of a training")
    return found


def draw_curves(logs):
    """A Figure of {id: folder of its logs}, pathlib.Path."""
    figure = new_figure(13, 4)
    axes = figure.subplots(1, len(PANELS))
    for axis, (title, names) in zip(axes, PANELS.items(), strict=True):
        for number, (experiment_id, folder) in enumerate(logs.items()):
            for (name, kind), style in zip(names, LINE_STYLES, strict=False):
                values = _values(folder, name)
                if not values:
                    continue
                label = f"{experiment_id}, {kind}" if kind and len(names) > 1 else experiment_id
                if label.startswith("_"):  # which hides it from a legend
                    label = f" {label}"
                steps, heights = zip(*values, strict=True)
                # Evaluations are few, a line of one point is none, and a rate holds from one
                # step to another.
                marker = "o" if name == "valid_acc" or len(values) == 1 else ""
                shape = "steps-pre" if name == "learn_rate" else "default"
                axis.plot(
                    steps,
                    heights,
                    style,
                    color=f"C{number % 10}",
                    marker=marker,
                    drawstyle=shape,
                    markersize=3,
                    linewidth=1.2,
                    label=label,
                )
        axis.set_title(title)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    rates = [line.get_ydata() for line in axes[-1].lines]
    if all(min(values) > 0 for values in rates) and rates:
        axes[-1].set_yscale("log")
    for axis in axes:
        if axis.lines:
            for text in axis.legend(fontsize=7).get_texts():
                text.set_parse_math(False)
    return figure


def _values(folder, name):
    """[(step, value)] of a log, by step, the last of each; of evaluations, those of most images."""
    values = read_values(folder / f"{name}.csv")
    counts = read_values(folder / f"{NUM_IMAGES}.csv")
    if name == "valid_acc" and counts:  # of an evaluator
        most, left = max(count for _, count in counts), {}
        for step, count in counts:
            left.setdefault(step, []).append(count)
        values = [row for row in values if (left.get(row[0]) or [most]).pop(0) == most]
    return sorted(dict(values).items())
