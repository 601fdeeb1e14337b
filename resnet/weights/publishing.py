"""Writes trained weights as a folder that `resnet.get_model` takes."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from resnet import pretrained
from resnet.errors import UsageError
from resnet.files import written_beside
from resnet.models import Model
from resnet.models.cost import multiply_adds
from resnet.pixels import Scaling
from resnet.pretrained import CARD, DIVISOR, FACTS, OFFSET, WEIGHTS
from resnet.pretrained.card import card

# Of result.json: how the network was trained.
TRAINED = (
    *("training_seconds", "evaluation_seconds", "peak_mb"),
    *("commands", "commit", "versions", "machine"),
)
Experiment = Any  # resnet.training.experiment.Experiment, of a floor above


def stored(weights: dict[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """Weights as a file holds them: kernels in `dtype`, what each channel has one of in float32.

    Args:
      weights: {public name: float32 array}.
      dtype: "float16" or "float32".
    """
    return {
        name: value.astype(dtype) if value.ndim > 1 else value for name, value in weights.items()
    }


def facts_of(
    model: Model, experiment: Experiment, label_names: Sequence[str], result: dict[str, Any]
) -> dict[str, Any]:
    """What is known of trained weights before they are evaluated and written.

    Args:
      model: Model.
      experiment: Experiment that trained it.
      label_names: of its classes.
      result: content of the experiment's result.json.
    """
    config, network = model.config, model.network
    units = network.family.units_name(config)
    return {
        "model": config.name,
        "dataset": experiment.options.dataset,
        "label_names": list(label_names),
        "network": f"{units} {'-'.join(map(str, config.units))}, "
        f"filters {'-'.join(map(str, config.filters))}",
        "parameters": model.num_parameters,
        "multiply_adds": multiply_adds(network),
        "config": config.to_json(),
        "run": dataclasses.asdict(experiment.options),
        **{name: result[name] for name in TRAINED},
    }


def write_pretrained(
    folder: pathlib.Path,
    weights: dict[str, np.ndarray],
    scaling: Scaling,
    facts: dict[str, Any],
) -> None:
    """Writes weights.npz, facts.json and README.md, all or nothing.

    Args:
      folder: where to; must not exist.
      weights: {public name: array}, as `stored` gives them.
      scaling: of pixels.
      facts: what `card` needs, but sha256 and bytes.

    Raises:
      UsageError: the folder exists.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists: give another --output, or remove it")
    with written_beside(folder) as temporary:
        temporary.mkdir()
        arrays: dict[str, Any] = {
            OFFSET: np.float32(scaling.offset),
            DIVISOR: np.float32(scaling.divisor),
            **weights,
        }
        np.savez_compressed(temporary / WEIGHTS, **arrays)
        content = (temporary / WEIGHTS).read_bytes()
        facts = facts | {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        (temporary / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        is_shipped = folder.resolve().parent == pretrained.SHELF.resolve()
        text = card(facts, None if is_shipped else f"./{folder.name}")
        (temporary / CARD).write_text(text, encoding="utf-8")
