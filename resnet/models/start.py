"""What a network starts from: a config, and perhaps trained weights."""

from __future__ import annotations

import dataclasses
import os

from resnet.configs import Config, get_config
from resnet.models.model import Model
from resnet.models.network import SCOPE
from resnet.pixels import Scaling
from resnet.pretrained import FOLLOWS, Pretrained, find_pretrained

TOP = (f"{SCOPE}/logit/w", f"{SCOPE}/logit/b")  # the layer that tells classes apart


def find_start(
    config: Config | str, weights: str | os.PathLike[str] | None, num_classes: int | None
) -> tuple[Config, Pretrained | None]:
    """The Config of a network and its trained weights, if there are to be any.

    Args:
      config: Config, or the name of one.
      weights, num_classes: as in `resnet.get_model`.

    Raises:
      SettingError, UsageError, WeightsError: as `resnet.get_model`.
    """
    if not isinstance(config, Config | str):
        config = get_config(config)  # says that it is none
    pretrained = None if weights is None else find_pretrained(config, weights)
    if isinstance(config, str):
        config = pretrained.config if pretrained else get_config(config)
    elif pretrained:  # how it trains stays its own
        follows = {name: getattr(pretrained.config, name) for name in FOLLOWS}
        config = dataclasses.replace(config, **follows)
    if num_classes is not None:
        config = dataclasses.replace(config, num_classes=num_classes)
    return config, pretrained


def load_pretrained(model: Model, pretrained: Pretrained) -> None:
    """Sets a model's weights to trained ones, and says how pixels are prepared for them.

    With another number of classes, the last layer keeps its values, and classes have no names.

    Raises:
      UsageError, WeightsError: as `resnet.get_model`.
    """
    arrays = pretrained.read()
    weights, own = dict(arrays.weights), model.get_weights()
    same_classes = model.config.num_classes == pretrained.config.num_classes
    for name in TOP:
        if name not in own:
            weights.pop(name, None)
        elif not same_classes:
            weights[name] = own[name]
    model.set_weights(weights)
    model.scaling = Scaling(arrays.offset, arrays.divisor)
    model.label_names = pretrained.label_names if same_classes else None
