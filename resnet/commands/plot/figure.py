"""Figures that need no screen, and their files."""

from resnet.extras import load_extra
from resnet.files import written_beside

DOTS_PER_INCH = 110


def new_figure(width, height):
    """A matplotlib Figure of so many inches.

    Raises:
      UserError: matplotlib is not installed.
    """
    figure = load_extra("matplotlib.figure")
    return figure.Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def save_figure(figure, path):
    """Writes a PNG file, all or nothing."""
    with written_beside(path) as temporary:
        figure.savefig(temporary, format="png")
