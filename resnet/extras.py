"""Packages that only some commands need."""

import importlib
import types

from resnet.errors import UserError
from resnet.hints import extra_hint

PACKAGES = {
    "ruamel": "ruamel.yaml",
    "yaml": "pyyaml",
    "matplotlib": "matplotlib",
    "tensorflow_datasets": "tensorflow-datasets",
}


def load_extra(module: str) -> types.ModuleType:
    """Imports a module of one of pyproject.toml's optional extras.

    Raises:
      UserError: it is not installed; says how to.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = PACKAGES[module.partition(".")[0]]
        raise UserError(
            f"this needs {package}, which is not installed: {extra_hint(package)}"
        ) from None
