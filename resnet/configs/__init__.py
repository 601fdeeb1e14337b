"""Named configs: `get_config(name)`, `list_configs()`."""

from resnet.configs import cifar_configs, imagenet_configs  # noqa: F401  (they register)
from resnet.configs.config import (
    Config,
    ConfigError,
    config_from_json,
    get_config,
    list_configs,
    read_json,
)

__all__ = ["Config", "ConfigError", "config_from_json", "get_config", "list_configs", "read_json"]
