"""Own images of an experiment: where they lie, and which of them it is tested with."""

import pathlib

from resnet.configs import read_json
from resnet.data.cifar.input import load_dataset
from resnet.errors import UserError
from resnet.files import write_json
from resnet.weights.checkpoint import list_checkpoints
from resnet.weights.folder import DATA_FOLDER, HELD_OUT


def dataset_of(experiment, data_folder):
    """The Dataset in memory that an experiment is about, divided as its training divided it.

    Raises:
      UserError: as `data.cifar.input.load_dataset`; what was kept of the division is damaged; the
        images are of other classes, or chance would choose those to test with anew.
    """
    options = experiment.options
    size = experiment.config.image_size
    held_out = _held_out(experiment)
    dataset = load_dataset(options.dataset, data_folder, size, options.strict, held_out)
    experiment.require_label_names(dataset.label_names)
    if dataset.held_out and not held_out and list_checkpoints(experiment.results):
        raise UserError(
            f"{data_folder} has no test/, and which of its images {experiment.id} was trained on "
            f"is not known: {experiment.results / HELD_OUT} is not there. Give the folder with the "
            "test/ that it had"
        )
    return dataset


def folder_of(experiment):
    """The folder of own images that it was trained on; None of other data sets."""
    path = experiment.results / DATA_FOLDER
    return str(read_json(path).get("data_folder")) if path.exists() else None


def keep_own_images(experiment, dataset, data_folder):
    """Keeps the images' place, anew where they lie there no more, and what is held out of them."""
    before = folder_of(experiment)
    if not (before and pathlib.Path(before).is_dir()):
        path = pathlib.Path(data_folder).absolute()
        path = path.resolve() if ".." in path.parts else path
        write_json(experiment.results / DATA_FOLDER, {"data_folder": str(path)})
    if dataset.held_out and not (experiment.results / HELD_OUT).exists():
        write_json(experiment.results / HELD_OUT, {"held_out": list(dataset.held_out)})


def _held_out(experiment):
    """Names of the images that are held out to test with; none if that was not kept."""
    path = experiment.results / HELD_OUT
    if not path.exists():
        return ()
    names = read_json(path).get("held_out")
    if not names or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise UserError(f"{path} is damaged: it holds no list of images' names. Restore it")
    return tuple(names)
