"""ResNets, RevNets and VGGs: `get_model(config, ...)`."""

import os

from resnet.configs import Config
from resnet.models.families import computation_for
from resnet.models.model import Model
from resnet.models.network import Network
from resnet.models.start import find_start, load_pretrained


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
        left out, or None, are the family's defaults.

    Raises:
      SettingError (a ValueError): no config of that name, an unknown choice, or one that does
        not fit the family.
      UsageError, WeightsError (both ValueErrors): no such weights, or another network's;
        damaged ones.
    """
    config, pretrained = find_start(config, weights, num_classes)
    model = Model(config, computation_for(config, **computation), seed, images_at_once)
    if pretrained:
        load_pretrained(model, pretrained)
    return model


__all__ = ["Model", "Network", "computation_for", "get_model"]
