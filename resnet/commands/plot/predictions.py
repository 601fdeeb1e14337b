"""What a classifier gets wrong: its confusion matrix, and its worst mistakes."""

import numpy as np
import tensorflow as tf

from resnet.commands.plot.figure import new_figure

NUMBERED_CLASSES = 20  # up to which cells of the matrix show their counts
ROWS, COLUMNS = 4, 8  # of the sheet of mistakes
AS_IT_IS = {"parse_math": False}  # of texts with names, which may have dollars
MISTAKE_FONT_SIZE = 7  # so that CIFAR-100's longest names fit


def draw_confusion_matrix(labels, probabilities, label_names, title):
    """A Figure of how many of each row's images were taken for each column's class.

    It is coloured by the share of the row.

    Args:
      labels: (N,) integers.
      probabilities: (N, classes).
      label_names: texts.
      title: text.
    """
    num_classes = len(label_names)
    predicted = probabilities.argmax(axis=1)
    counts = tf.math.confusion_matrix(labels, predicted, num_classes).numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    is_small = num_classes <= NUMBERED_CLASSES
    figure = new_figure(7.5, 6.5) if is_small else new_figure(13, 12)
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, label="share of the class", shrink=0.8)
    size = 9 if is_small else 5
    turned = 90 if not is_small else 45
    axis.set_xticks(range(num_classes), label_names, rotation=turned, **AS_IT_IS)
    axis.set_yticks(range(num_classes), label_names, **AS_IT_IS)
    axis.tick_params(labelsize=size)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.set_title(title, **AS_IT_IS)
    if is_small:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, count, ha="center", va="center", color=colour, fontsize=8)
    return figure


def worst_mistakes(labels, probabilities):
    """Indices of the wrong predictions, the most confident first."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    return wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]


def draw_mistakes(images, labels, probabilities, label_names, title):
    """A Figure of the most confident mistakes.

    Args:
      images: (N, H, W, 3) uint8.
      labels, probabilities, label_names, title: as in `draw_confusion_matrix`.
    """
    figure = new_figure(1.85 * COLUMNS, 2.25 * ROWS)
    axes = list(figure.subplots(ROWS, COLUMNS).flat)
    for axis in axes:
        axis.axis("off")
    worst = worst_mistakes(labels, probabilities)[: ROWS * COLUMNS]
    for axis, i in zip(axes, worst, strict=False):
        guess = probabilities[i].argmax()
        axis.imshow(images[i], interpolation="nearest")
        axis.set_title(
            f"true: {label_names[labels[i]]}\n"
            f"predicted: {label_names[guess]} ({probabilities[i, guess]:.2f})",
            fontsize=MISTAKE_FONT_SIZE,
            **AS_IT_IS,
        )
    if not len(worst):
        figure.text(0.5, 0.5, "no mistakes", ha="center")
    figure.suptitle(title, **AS_IT_IS)
    return figure
