"""Lists the trained weights that come with the package.

    resnet weights
    resnet weights --markdown

Accuracies are per cent of the test images, plain and with the mean over an image and its mirror
image. Each has a model card, README.md in its folder; `resnet weights --folders` says where.
"""

from resnet.pretrained import list_pretrained
from resnet.table import aligned, markdown

HEADER = ("model", "weights", "accuracy", "flipped", "recipe", "parameters", "size")


def define_flags(flags):
    """Defines the command's flags."""
    flags.switch("Listing", "markdown", "As a table in Markdown.")
    flags.switch("Listing", "folders", "List the folders, too.")


def rows(with_folders):
    """A row of texts for each set of weights."""
    for one in list_pretrained():
        facts, accuracy = one.facts, one.facts["accuracy"]
        row = (
            one.model,
            one.dataset,
            f"{accuracy['top1']:.2f}",
            f"{accuracy['flipped_top1']:.2f}",
            one.config.recipe,
            f"{facts['parameters']:,}",
            f"{facts['bytes'] / 1e6:.2f} MB",
        )
        yield (*row, str(one.folder)) if with_folders else row


def main(flags):
    """Prints the table."""
    header = (*HEADER, "folder") if flags.folders else HEADER
    table = [header, *rows(flags.folders)]
    print(markdown(table) if flags.markdown else aligned(table, right=(2, 3, 5, 6)))
