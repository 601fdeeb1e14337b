"""ResNets, RevNets and VGGs: `get_model(config, ...)`."""

from resnet.models.model import Model
from resnet.models.network import DTYPES, LOOPS, Network


def get_model(config, *args, **kwargs):
    """Builds a `Model` from a config or a config's name; see `Model` for the arguments."""
    if isinstance(config, str):
        from resnet.configs import get_config

        config = get_config(config)
    return Model(config, *args, **kwargs)


__all__ = ["DTYPES", "LOOPS", "Model", "Network", "get_model"]
