"""What a named config is: a network and the recipe that trains it."""

import dataclasses
import json
import os
import pathlib
from typing import Any

from resnet.configs.recipes import RECIPES
from resnet.errors import near, shown
from resnet.files import is_plain_name
from resnet.settings import (
    UNITS_BELOW,
    Computation,
    NetworkSettings,
    Recipe,
    RunOptions,
    SettingError,
    check_fields,
    fields_of,
    wrong,
)

IN_EPOCHS = {"num_steps": "num_epochs", "warmup_steps": "warmup_epochs"}
LONGEST_NAME = 100  # bytes: experiments and folders are named after it
BOTTLENECK_FACTOR = 4  # channels of a bottleneck's output over its filters


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Recipe, NetworkSettings):
    """A network and its training recipe.

    Frozen: make variants with `dataclasses.replace`, which validates again. (Not with another
    `recipe`, which is a name: `get_config` takes one with all that it sets.) What the fields of
    a network must be because of its family, and of each other, is checked when a
    resnet.models.Network is made of it.
    """

    def __post_init__(self) -> None:
        subject = f"config {self.name}: "
        check_fields(self, subject)
        if not is_plain_name(self.name, LONGEST_NAME) or ":" in self.name:
            wanted = (
                "a plain name without slashes and colons, no dot at its start, of at most "
                f"{LONGEST_NAME} bytes"
            )
            raise wrong(subject, "name", self.name, wanted)
        self.check_recipe(subject)
        if sum(self.units) >= UNITS_BELOW:
            raise wrong(subject, "units", self.units, f"fewer than {UNITS_BELOW:,} in all")
        largest = max(1, 2 * self.image_size - 2)  # wherever it lies, a larger one covers all
        if self.cutout > largest:
            wanted = f"at most {largest}: a larger square leaves nothing of any image"
            raise wrong(subject, "cutout", self.cutout, wanted, "image_size")
        for name in ("filters", "strides"):
            values = getattr(self, name)
            if len(values) != len(self.units):
                raise wrong(subject, name, values, f"as long as units ({len(self.units)})", "units")

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels of each stage's output."""
        factor = BOTTLENECK_FACTOR if self.block == "bottleneck" else 1
        return tuple(filters * factor for filters in self.filters)

    @property
    def shortcut_kind(self) -> str:
        """The shortcut that is meant: "pool", "A" or "B"."""
        if self.shortcut != "auto":
            return self.shortcut
        return "pool" if self.block == "basic" else "B"

    def in_steps(self, num_images: int) -> "Config":
        """The config with its epochs as steps.

        Args:
          num_images: of an epoch: those that train.

        Raises:
          SettingError: the steps do not go together.
        """
        found = {
            steps: max(1, round(getattr(self, epochs) * num_images / self.batch_size))
            for steps, epochs in IN_EPOCHS.items()
            if getattr(self, epochs)
        }
        return dataclasses.replace(self, **found, num_epochs=0.0, warmup_epochs=0.0)

    def to_json(self) -> dict[str, Any]:
        """A JSON object (dict) with every field."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A named config, and what is known of it.

    config: Config.
    source: the paper or project that it is of, in a few words.
    parameters: how many are trained, with the config's own number of classes.
    multiply_adds: multiplications with addition of one image's forward pass.
    """

    config: Config
    source: str
    parameters: int
    multiply_adds: int


_REGISTRY: dict[str, Entry] = {}


def register(config: Config, source: str, *, parameters: int, multiply_adds: int) -> Config:
    """Adds a named config to the registry and returns it; arguments as of `Entry`.

    The counts stand beside the config, so that they can be listed without TensorFlow; a test
    compares them to the network's.
    """
    if config.name in _REGISTRY:
        raise SettingError(f"config {config.name!r} is registered twice")
    _REGISTRY[config.name] = Entry(config, source, parameters, multiply_adds)
    return config


def list_configs() -> list[str]:
    """Names of all configs, in the order of registration."""
    return list(_REGISTRY)


def get_config(name: str, recipe: str | None = None) -> Config:
    """The named config.

        get_config("revnet-38")
        get_config("revnet-38", recipe="fast")

    Args:
      name: one of `list_configs()`.
      recipe: "paper", "fast" or "long"; default: the config's own.

    Raises:
      SettingError: no such name or recipe; the message lists those that exist.
    """
    config = entry_of(name).config
    return config if recipe is None else config_from_json({"recipe": recipe}, config)


def entry_of(name: str) -> Entry:
    """The Entry of a named config.

    Raises:
      SettingError: as `get_config`.
    """
    if not isinstance(name, str) or name not in _REGISTRY:
        hints = [near(name, _REGISTRY), f"choose one of {', '.join(_REGISTRY)}"]
        raise SettingError(f"unknown model {shown(name)}: {' '.join(filter(None, hints))}")
    return _REGISTRY[name]


def config_from_json(content: dict[str, Any], base: Config | None = None) -> Config:
    """A config from a JSON object of fields.

    Args:
      content: dict; fields that it lacks come from its "recipe", if it has one, then from
        `base`, or from the registered config that its "name" names.
      base: Config or None.

    Raises:
      SettingError: unknown field, wrong type or value, or neither base nor name.
    """
    if not isinstance(content, dict):
        raise SettingError(f"a config must be a JSON object, not a {type(content).__name__}")
    known = fields_of(Config)
    for key in content:
        if key not in known:
            hint = near(key, known) or f"fields: {', '.join(sorted(known))}"
            if key in (*fields_of(RunOptions), *fields_of(Computation)):
                hint = f"it is of a run, not of a config: leave it out, and give --{key}"
            raise SettingError(f"unknown config field {shown(key)}: {hint}", key)
    if "name" in content:
        known["name"].checked(content["name"])
    for steps, epochs in IN_EPOCHS.items():
        if content.get(epochs) and steps in content:
            raise SettingError(
                f"{epochs} is {shown(content[epochs])} and {steps} is {shown(content[steps])}: "
                "leave one of them out",
                epochs,
                steps,
            )
    content = _recipe_of(content) | content
    if base is None:
        required = {n for n, field in known.items() if field.default is dataclasses.MISSING}
        if content.keys() >= (required if content.get("name") not in _REGISTRY else known.keys()):
            return Config(**content)
        if "name" not in content:
            raise SettingError('no model: give "name" in the config file, or --model', "name")
        base = get_config(content["name"])
    return dataclasses.replace(base, **(_one_rate(content, base) | content))


def _recipe_of(content: dict[str, Any]) -> dict[str, Any]:
    """The fields that the recipe which `content` names sets.

    Of a training of another length, its warm-up takes the same share.

    Raises:
      SettingError: no such recipe, or a length that makes no sense.
    """
    if "recipe" not in content:
        return {}
    known = fields_of(Config)
    recipe = RECIPES[known["recipe"].checked(content["recipe"])]
    share = recipe.get("warmup_steps", 0) / recipe.get("num_steps", 1)
    if not share or content.keys() & {"warmup_steps", "warmup_epochs"}:
        return recipe
    steps, epochs = (
        known[name].checked(content[name]) if name in content else None
        for name in ("num_steps", "num_epochs")
    )
    if epochs:
        return recipe | {"warmup_steps": 0, "warmup_epochs": share * epochs}
    if steps is None:
        return recipe
    return recipe | {"warmup_steps": max(1, round(share * steps)) if steps else 0}


def _one_rate(content: dict[str, Any], base: Config) -> dict[str, Any]:
    """Fields of a schedule that has a peak and no boundaries, if such a one is asked for anew.

    The peak is the base's highest learning rate, unless `content` says otherwise.
    """
    schedule = content.get("schedule", "piecewise")
    if schedule == "piecewise" or base.schedule != "piecewise":
        return {}
    return {"learning_rates": (max(base.learning_rates),), "boundaries": ()}


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      SettingError: missing, unreadable or not a JSON object; names path, line and column.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingError(f"config file {str(path)!r} does not exist") from None
    except OSError as error:
        raise SettingError(f"config file {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingError(f"config file {str(path)!r} is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise SettingError(
            f"config file {str(path)!r} is not valid JSON: "
            f"line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits; deep nesting
        raise SettingError(f"config file {str(path)!r} is not valid: {error}") from None
    if not isinstance(content, dict):
        raise SettingError(f"config file {str(path)!r} must hold a JSON object")
    return content
