"""ResNets, RevNets and VGGs: `get_model(config, ...)`."""

from resnet.configs import Config, get_config
from resnet.models.families import computation_for
from resnet.models.model import Model
from resnet.models.network import Network


def get_model(
    config: Config | str,
    *,
    seed: int | None = None,
    images_at_once: int = 1,
    **computation: str | bool | int | None,
) -> Model:
    """Builds a `Model`.

        get_model("revnet-38", backprop="reversible", dtype="bfloat16")

    Args:
      config: Config, or the name of one.
      seed: of the initial weights; default: the config's.
      images_at_once: images that share a device's memory, and its memory budget.
      **computation: fields of Computation: backprop, dtype, exact, loop, memory_budget; those
        left out, or None, are the family's defaults.

    Raises:
      SettingError (a ValueError): no config of that name, an unknown choice, or one that does
        not fit the family.
    """
    config = get_config(config) if isinstance(config, str) else config
    return Model(config, computation_for(config, **computation), seed, images_at_once)


__all__ = ["Model", "Network", "computation_for", "get_model"]
