"""Named configs: `get_config(name)`, `list_configs()`."""

# They register, in the order of the list.
from resnet.configs import cifar_configs, imagenet_configs, zoo_configs  # noqa: F401
from resnet.configs.config import (
    Config,
    config_from_json,
    get_config,
    list_configs,
    read_json,
    source_of,
)

__all__ = [
    "Config",
    "config_from_json",
    "get_config",
    "list_configs",
    "read_json",
    "source_of",
]
