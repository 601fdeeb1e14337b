"""ResNets, RevNets and VGGs: `get_model(config, ...)`."""

import os
from collections.abc import Iterable

from resnet.configs import Config
from resnet.errors import UsageError, near
from resnet.models.families import computation_for
from resnet.models.model import Model
from resnet.models.network import Network
from resnet.models.start import find_start, load_pretrained
from resnet.settings import Computation, fields_of

# Arguments that Keras users look for.
OF_CLASSIFIER = ("include_top", "prepares", "label_names", "scaling")


def get_model(
    config: Config | str,
    *,
    weights: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    seed: int | None = None,
    images_at_once: int = 1,
    **computation: str | bool | int | None,
) -> Model:
    """Builds a `Model`.

        get_model("revnet-38", backprop="reversible", dtype="bfloat16")
        get_model("revnet-38", weights="cifar-10")

    Args:
      config: Config, or the name of one.
      weights: trained ones, by the name of their data set (`resnet weights` lists them) or by
        the folder that `resnet publish` wrote; the model's `prepare` makes of pixels what it
        takes. None: initial ones.
      num_classes: default: the trained weights', or the config's. With another number than
        theirs, the last layer begins anew, to be trained.
      seed: of the initial weights; default: the config's.
      images_at_once: images that share a device's memory, and its memory budget.
      **computation: fields of Computation: backprop, dtype, exact, loop, memory_budget; those
        left out, or None, are the family's defaults. The dtype may be "mixed_bfloat16", Keras'
        name of bfloat16.

    Raises:
      SettingError (a ValueError): no config of that name, an unknown choice, or one that does
        not fit the family.
      UsageError, WeightsError (both ValueErrors): no such weights, or another network's;
        damaged ones; an argument that there is not.
    """
    _check_names(computation)
    config, pretrained = find_start(config, weights, num_classes)
    model = Model(config, computation_for(config, **computation), seed, images_at_once)
    if pretrained:
        load_pretrained(model, pretrained)
    return model


def _check_names(computation: Iterable[str]) -> None:
    """Checks that keywords are fields of Computation."""
    fields = list(fields_of(Computation))
    known = ["weights", "num_classes", "seed", "images_at_once", *fields]
    for name in computation:
        if name in OF_CLASSIFIER:
            hint = "resnet.Classifier, the same network as a Keras layer, does"
        else:
            hint = near(name, known) or f"it takes {', '.join(known)}"
        if name not in fields:
            raise UsageError(f"get_model takes no argument {name!r}: {hint}")


__all__ = ["Model", "Network", "computation_for", "get_model"]
