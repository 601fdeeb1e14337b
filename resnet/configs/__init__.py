"""Named configs: `get_config(name)`, `list_configs()`."""

# They register, in the order of the list.
from resnet.configs import cifar_configs, imagenet_configs, invertible_configs, zoo_configs  # noqa: F401
from resnet.configs.config import (
    Config,
    Entry,
    config_from_json,
    entry_of,
    get_config,
    list_configs,
    read_json,
)

__all__ = [
    "Config",
    "Entry",
    "config_from_json",
    "entry_of",
    "get_config",
    "list_configs",
    "read_json",
]
