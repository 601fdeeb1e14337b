"""Model families, one a module of this folder, which is found by itself; see `Family`."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from resnet.configs import Config
from resnet.models.family import Family
from resnet.settings import Computation, wrong

# Name of a dtype, or of the Keras policy that means it -> type of the arithmetic; weights are
# float32 with all of them.
ARITHMETIC = {"float32": "float32", "bfloat16": "bfloat16", "mixed_bfloat16": "bfloat16"}


def _found() -> Iterator[tuple[str, Family]]:
    for module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        family = importlib.import_module(f"{__name__}.{module}").FAMILY
        yield family.name, family


FAMILIES = dict(_found())


def family_of(config: Config) -> Family:
    """The Family of a config.

    Raises:
      SettingError: there is none of that name.
    """
    if config.family not in FAMILIES:
        subject, wanted = f"config {config.name}: ", f"one of {', '.join(FAMILIES)}"
        raise wrong(subject, "family", config.family, wanted)
    return FAMILIES[config.family]


def computation_for(config: Config, **given: Any) -> Computation:
    """The Computation of a config.

    Args:
      config: Config.
      **given: fields of Computation; what is not given, or None, is the family's default.
        dtype may be a Keras policy's name, as in ARITHMETIC.

    Raises:
      SettingError: an unknown family, or a value that does not fit its field.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(dtype := given.get("dtype"), str):
        given["dtype"] = ARITHMETIC.get(dtype, dtype)
    return dataclasses.replace(family_of(config).defaults, **given)
