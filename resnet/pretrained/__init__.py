"""Trained weights that come with the package, and those that `resnet publish` writes.

A set of weights is a folder: weights.npz (arrays under public names), facts.json (what they are,
how they were trained, their accuracy) and README.md, the model card. The package's own lie below
this one, as MODEL_DATASET. Nothing here loads TensorFlow.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pathlib
from typing import Any

import numpy as np

from resnet.configs import Config, config_from_json, get_config, list_configs, read_json
from resnet.errors import UsageError, UserError, near, shown
from resnet.settings import NetworkSettings, SettingError, fields_of

WEIGHTS, FACTS, CARD = "weights.npz", "facts.json", "README.md"
OFFSET, DIVISOR = "offset", "divisor"  # arrays beside the weights
LARGEST_BYTES = 2**31  # of the arrays in a weights file: more is packed to do harm
SHELF = pathlib.Path(__file__).parent
PREFIX = "pretrained:"  # of init_from: pretrained:MODEL:DATASET
# What trained weights decide, whatever a config says.
FOLLOWS = ("num_classes", "preprocessor")


class WeightsError(UserError, ValueError):
    """Trained weights that are damaged."""


@dataclasses.dataclass(frozen=True)
class Arrays:
    """What a weights file holds.

    weights: {public name: float32 array}, moving averages too.
    offset, divisor: (pixels - offset) / divisor is what the network takes.
    """

    weights: dict[str, np.ndarray]
    offset: np.ndarray
    divisor: np.ndarray


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A set of trained weights, not read yet.

    folder: where it lies.
    facts: the content of its facts.json.
    """

    folder: pathlib.Path
    facts: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.model}:{self.dataset}"

    @property
    def model(self) -> str:
        """Name of the config."""
        return self.facts["model"]

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.facts["dataset"]

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.facts["label_names"])

    @property
    def config(self) -> Config:
        """The Config that was trained."""
        return config_from_json(self.facts["config"])

    def read(self) -> Arrays:
        """The arrays.

        Raises:
          WeightsError: the file is missing or damaged.
        """
        path = self.folder / WEIGHTS
        remedy = f"{self.folder}: install the package again, or publish the weights again"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise WeightsError(f"{path} cannot be read ({error.strerror}). Of {remedy}") from None
        found, wanted = hashlib.sha256(content).hexdigest(), self.facts["sha256"]
        if found != wanted:
            raise WeightsError(
                f"{path} is damaged: its SHA-256 is {found}, but {FACTS} says {wanted}. Of {remedy}"
            )
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                size = sum(member.file_size for member in file.zip.infolist())
                if size > LARGEST_BYTES:
                    raise ValueError(f"it would take {size:,} bytes, more than {LARGEST_BYTES:,}")
                arrays = {name: file[name] for name in file.files}
            if odd := [name for name, array in arrays.items() if array.dtype.kind not in "fiu"]:
                raise ValueError(f"{odd[0]} holds no numbers")
            arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
            offset, divisor = arrays.pop(OFFSET), arrays.pop(DIVISOR)
        except Exception as error:  # NumPy's reader has many
            raise WeightsError(f"{path} holds no weights ({error}). Of {remedy}") from None
        return Arrays(arrays, offset, divisor)


def open_pretrained(folder: str | os.PathLike[str]) -> Pretrained:
    """The weights in a folder that `resnet publish` wrote.

    Raises:
      UsageError: there are none.
      WeightsError: facts.json is damaged.
    """
    folder = pathlib.Path(folder)
    if not (folder / FACTS).is_file():
        raise UsageError(
            f"no weights in {str(folder)!r}: give a folder with {WEIGHTS} and {FACTS}, as "
            "resnet publish writes it"
        )
    try:
        facts = read_json(folder / FACTS)
    except SettingError as error:
        raise WeightsError(f"{folder / FACTS} is damaged: {error}") from None
    missing = {"model", "dataset", "label_names", "config", "sha256"} - facts.keys()
    if missing:
        raise WeightsError(f"{folder / FACTS} lacks {', '.join(sorted(missing))}: is it damaged?")
    names = facts["label_names"]
    texts = [facts["model"], facts["dataset"], facts["sha256"]]
    if not isinstance(names, list) or not all(isinstance(t, str) for t in [*texts, *names]):
        raise WeightsError(f"{folder / FACTS} is damaged: names in it are no texts")
    pretrained = Pretrained(folder, facts)
    try:
        num_classes = pretrained.config.num_classes  # raises if the config makes no sense
    except (UsageError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder / FACTS} is damaged: {error}") from None
    if len(names) != num_classes:
        raise WeightsError(
            f"{folder / FACTS} is damaged: it names {len(names)} of {num_classes} classes"
        )
    return pretrained


def list_pretrained() -> list[Pretrained]:
    """The weights that come with the package, in the order of the configs."""
    found = [open_pretrained(path.parent) for path in sorted(SHELF.glob(f"*/{FACTS}"))]
    order = {name: i for i, name in enumerate(list_configs())}
    return sorted(found, key=lambda one: (order.get(one.model, len(order)), one.dataset))


def find_pretrained(config: Config | str, weights: str | os.PathLike[str]) -> Pretrained:
    """The weights of a network by the name of their data set, or by their folder.

    Args:
      config: Config, or the name of one.
      weights: name of a data set, such as "cifar-10"; or the path of a folder that
        `resnet publish` wrote, with a slash in it.

    Raises:
      UsageError (a ValueError): there are none, names those that there are; no config of that
        name; or they are of another network.
      WeightsError (a ValueError): facts.json is damaged.
    """
    if not isinstance(weights, str | os.PathLike):
        raise UsageError(
            f"weights is {shown(weights)}, but must be the name of a data set, such as 'cifar-10', "
            "or a folder that resnet publish wrote"
        )
    name = config if isinstance(config, str) else config.name
    if isinstance(weights, os.PathLike) or os.sep in weights:
        found = open_pretrained(weights)
        if found.model != name:
            raise UsageError(
                f"the weights in {str(weights)!r} are of {found.model!r}, not of {name!r}: "
                "name that model"
            )
    else:
        if isinstance(config, str):
            get_config(config)  # names what is near to a name that nobody knows
        found = _on_shelf(name, weights)
    if not isinstance(config, str):
        _require_same_network(config, found)
    return found


def _on_shelf(model: str, dataset: str) -> Pretrained:
    known = list_pretrained()
    for one in known:
        if (one.model, one.dataset) == (model, dataset):
            return one
    by_model: dict[str, list[str]] = {}
    for one in known:
        by_model.setdefault(one.model, []).append(one.dataset)
    listed = "; ".join(f"{name} for {', '.join(sets)}" for name, sets in by_model.items())
    hints = [near(dataset, by_model.get(model, [])), f"there are those of {listed or 'no model'}"]
    raise UsageError(
        f"there are no weights of {model!r} for {dataset!r}: {' '.join(filter(None, hints))}. "
        f"Or give a folder that resnet publish wrote, such as ./{dataset}"
    )


def _require_same_network(config: Config, found: Pretrained) -> None:
    """Checks that a config is the network that was trained, but for what weights decide.

    Raises:
      UsageError: it is not.
    """
    trained = found.config
    for name in fields_of(NetworkSettings):
        value, wanted = getattr(config, name), getattr(trained, name)
        if name not in FOLLOWS and value != wanted:
            raise UsageError(
                f"weights {found} do not fit: {name} is {value!r}, but was {wanted!r} when they "
                f"were trained. Give {found.model!r} by its name, or start a training from them "
                f"with --init_from {PREFIX}{found}"
            )


def by_reference(reference: str) -> Pretrained:
    """The weights that init_from names as pretrained:MODEL:DATASET.

    Raises:
      SettingError: there are none, or the text is of another form.
      WeightsError: facts.json is damaged.
    """
    model, separator, dataset = reference.removeprefix(PREFIX).partition(":")
    try:
        if model and separator and dataset:
            return find_pretrained(model, dataset)
    except UsageError as error:
        raise SettingError(f"init_from is {reference!r}: {error}", "init_from") from None
    raise SettingError(
        f"init_from is {reference!r}, but must be {PREFIX}MODEL:DATASET, such as "
        f"{PREFIX}revnet-38:cifar-10, or {PREFIX}MODEL:FOLDER, such as "
        f"{PREFIX}revnet-38:./published/revnet-38_folder",
        "init_from",
    )
