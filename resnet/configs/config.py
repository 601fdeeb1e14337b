"""What a named config is: a network and the recipe that trains it."""

import dataclasses
import difflib
import json
import math
import pathlib

from resnet.errors import UsageError


class ConfigError(UsageError):
    """A config that does not exist or does not make sense; says which, and what would."""


# What happens to images before the network; resnet.data has the code.
PREPROCESSORS = (
    "cifar",  # mean image subtracted; in training padded by 2 pixels, cropped, flipped
    "cifar-standard",  # channels standardised; in training padded by 4, cropped, flipped
    "cifar-unit",  # scaled to [0, 1]; in training padded by 2, cropped, flipped
    "inception",  # in training a box of random size and shape, colours distorted
    "vgg",  # short side resized, cropped, mean colour subtracted
)

FAMILIES = ("resnet", "revnet", "vgg")
BLOCKS = ("basic", "bottleneck")
# Where batch norm and ReLU stand.
ACTIVATION_ORDERS = (
    "preactivated",  # before each convolution
    "original",  # after each convolution, the last ReLU behind the sum
)
# What reshapes the input of a unit that changes the shape.
SHORTCUTS = (
    "auto",  # "pool" for basic units and "B" for bottlenecks
    "pool",  # average pooling, zero channels on both sides
    "A",  # every stride-th pixel, zero channels at the end
    "B",  # 1x1 convolution; behind it batch norm in the original order
)
# Which residual functions begin with batch norm and ReLU, if preactivated.
LEADING_ACTIVATIONS = (
    "units",  # all but the network's first
    "stages",  # those of each stage's first unit, from the second stage on
)
INITIALIZERS = (
    "fan_out",  # revnet-public's
    "he_normal",  # Keras': by fan in; fully connected layers Glorot-uniform
)
BOTTLENECK_FIELDS = ("bottleneck_width", "bottleneck_stride_at", "cardinality")
# field -> values that it takes
CHOICES = {
    "family": FAMILIES,
    "preprocessor": PREPROCESSORS,
    "block": BLOCKS,
    "activation_order": ACTIVATION_ORDERS,
    "leading_activation": LEADING_ACTIVATIONS,
    "shortcut": SHORTCUTS,
    "initializer": INITIALIZERS,
}
BOTTLENECK_FACTOR = 4  # channels of a bottleneck's output over its filters


@dataclasses.dataclass(frozen=True)
class Config:
    """A network and its training recipe.

    Frozen: make variants with `dataclasses.replace`, which validates again.
    """

    name: str
    family: str  # one of FAMILIES

    # Network
    image_size: int  # pixels a side
    num_classes: int
    block: str  # "basic" (two 3x3 convolutions) or "bottleneck"
    stem_filters: int  # channels; 0 without a stem, as in VGG
    filters: tuple  # channels of each stage; a bottleneck's output has 4 times as many
    units: tuple  # units of each stage; a reversible unit holds two residual functions
    strides: tuple  # stride of each stage's first unit
    preprocessor: str = "cifar"  # how images are prepared, one of PREPROCESSORS
    stem_kernel: int = 3  # pixels a side
    stem_stride: int = 1
    stem_max_pool: bool = False  # 3x3, stride 2, after the stem
    activation_order: str = "preactivated"  # one of ACTIVATION_ORDERS
    leading_activation: str = "units"  # one of LEADING_ACTIVATIONS
    shortcut: str = "auto"  # one of SHORTCUTS
    preactivate_shortcut: bool = False  # whether it starts behind the unit's first BN and ReLU
    bottleneck_width: int = 1  # channels inside a bottleneck, over its filters
    bottleneck_stride_at: int = 1  # which of a bottleneck's convolutions has the stride, 1 or 2
    cardinality: int = 1  # groups of a bottleneck's 3x3 convolution
    dropout: float = 0.0  # share of values dropped behind a residual function's first convolution
    initializer: str = "fan_out"  # one of INITIALIZERS

    # Recipe
    batch_size: int = 100  # images a step, over all replicas
    num_steps: int = 80_000
    learning_rates: tuple = (0.1, 0.01, 0.001)
    boundaries: tuple = (40_000, 60_000)  # step from which the next rate holds
    momentum: float = 0.9
    nesterov: bool = False  # Nesterov's form of momentum
    weight_decay: float = 2e-4  # adds weight_decay * w to the gradient of weights
    log_every: int = 100  # steps
    evaluate_every: int = 1_000  # steps
    save_every: int = 10_000  # steps
    evaluation_batch_size: int = 100  # images
    seed: int = 0  # of the initial weights, the order of images and their augmentation

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = _typed(self.name, field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        _validate(self)

    @property
    def stage_channels(self):
        """Channels of each stage's output."""
        factor = BOTTLENECK_FACTOR if self.block == "bottleneck" else 1
        return tuple(filters * factor for filters in self.filters)

    @property
    def shortcut_kind(self):
        """The shortcut that is meant: "pool", "A" or "B"."""
        if self.shortcut != "auto":
            return self.shortcut
        return "pool" if self.block == "basic" else "B"

    def learning_rate(self, step):
        """Learning rate of update number `step`, counted from 0."""
        return self.learning_rates[sum(step >= b for b in self.boundaries)]

    def to_json(self):
        """A JSON object (dict) with every field."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}


def _typed(name, field, value):
    """`value` as the type of `field`; tuples may arrive as lists, as JSON has them."""
    kind = field.type
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    wanted = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    raise ConfigError(
        f"config {name}: {field.name} is {value!r}, but must be {wanted.get(kind, 'a list')}"
    )


def _validate(config):
    def require(condition, field, wanted):
        if not condition:
            value = getattr(config, field)
            raise ConfigError(f"config {config.name}: {field} is {value!r}, but must be {wanted}")

    def all_of(values, kind, low):
        return len(values) > 0 and all(
            isinstance(v, kind) and not isinstance(v, bool) and v >= low for v in values
        )

    for field, choices in CHOICES.items():
        require(getattr(config, field) in choices, field, f"one of {', '.join(choices)}")
    for field in ("image_size", "num_classes", "stem_kernel", "stem_stride", "bottleneck_width",
                  "cardinality", "batch_size", "log_every", "evaluate_every", "save_every",
                  "evaluation_batch_size"):  # fmt: skip
        require(getattr(config, field) >= 1, field, "1 or more")
    has_stem = config.family != "vgg"
    require((config.stem_filters >= 1) == has_stem and config.stem_filters >= 0, "stem_filters",
            "1 or more" if has_stem else "0: a VGG has no stem")  # fmt: skip
    require(config.bottleneck_stride_at in (1, 2), "bottleneck_stride_at", "1 or 2")
    require(0 <= config.dropout < 1, "dropout", "in [0, 1)")
    require(config.num_steps >= 0, "num_steps", "0 or more")
    require(0 <= config.seed < 2**31, "seed", "in [0, 2^31)")
    require(config.weight_decay >= 0, "weight_decay", "0 or more")
    require(0 <= config.momentum < 1, "momentum", "in [0, 1)")
    for field in ("filters", "units", "strides"):
        require(all_of(getattr(config, field), int, 1), field, "a list of integers of 1 or more")
        require(len(getattr(config, field)) == len(config.units), field,
                f"as long as units ({len(config.units)})")  # fmt: skip
    require(
        all_of(config.learning_rates, int | float, 0)
        and all(math.isfinite(rate) for rate in config.learning_rates),
        "learning_rates",
        "a list of numbers of 0 or more",
    )
    require(
        (not config.boundaries or all_of(config.boundaries, int, 0))
        and len(config.boundaries) == len(config.learning_rates) - 1
        and list(config.boundaries) == sorted(config.boundaries),
        "boundaries",
        f"a rising list of {len(config.learning_rates) - 1} steps, one fewer than learning_rates",
    )
    _validate_network(config, require)


def _validate_network(config, require):
    """What fields must be because of others."""
    family, is_plain = config.family, config.family == "vgg"
    if is_plain or family == "revnet":
        wanted = f"left at its default: a {family} has no other"
        # A RevNet's sums are inverted: nothing may come behind them, nor may a shortcut be shared.
        fields = ["activation_order", "preactivate_shortcut"]
        fields += ["block", "shortcut", "dropout", "strides"] if is_plain else []
        defaults = {"block": "basic", "strides": (1,) * len(config.units)}
        for field in fields:
            default = defaults.get(field, Config.__dataclass_fields__[field].default)
            require(getattr(config, field) == default, field, wanted)
    unused = [] if config.block == "bottleneck" else BOTTLENECK_FIELDS
    unused = (
        unused if config.activation_order == "preactivated" else (*unused, "leading_activation")
    )
    for field in unused:
        require(getattr(config, field) == Config.__dataclass_fields__[field].default, field,
                f"left at its default: nothing in {config.activation_order} {config.block} units "
                "depends on it")  # fmt: skip
    if is_plain:
        require(config.image_size >= 2 ** len(config.units), "image_size",
                f"{2 ** len(config.units)} or more: each of {len(config.units)} stages halves "
                "it")  # fmt: skip
    if config.preactivate_shortcut:
        require(config.activation_order == "preactivated", "activation_order",
                '"preactivated" with preactivate_shortcut')  # fmt: skip
    halves = 2 if family == "revnet" else 1
    for filters in config.filters:
        require(filters // halves * config.bottleneck_width % config.cardinality == 0,
                "cardinality", "a divisor of a bottleneck's channels")  # fmt: skip
    if config.shortcut_kind != "B" and not is_plain:
        channels = (config.stem_filters, *config.stage_channels)
        require(list(channels) == sorted(channels), "filters",
                f"rising from stem_filters on, with shortcut {config.shortcut_kind}: it appends "
                "channels and takes none away")  # fmt: skip
    if config.shortcut_kind == "pool" and not is_plain:
        side = -(-config.image_size // config.stem_stride)
        side = -(-side // 2) if config.stem_max_pool else side
        for stride in config.strides:
            require(side % stride == 0, "strides", f"divisors of the image's side, {side} there")
            side //= stride
    if family == "revnet":
        for field in ("stem_filters", "filters"):
            value = getattr(config, field)
            even = all(v % 2 == 0 for v in (value if isinstance(value, tuple) else (value,)))
            require(even, field, "even: a RevNet splits channels in halves")


_REGISTRY = {}
_SOURCES = {}


def register(config, source):
    """Adds a named config to the registry and returns it.

    Args:
      config: Config.
      source: the paper or project that it is of, in a few words.
    """
    if config.name in _REGISTRY:
        raise ConfigError(f"config {config.name!r} is registered twice")
    _REGISTRY[config.name], _SOURCES[config.name] = config, source
    return config


def list_configs():
    """Names of all configs, in the order of registration."""
    return list(_REGISTRY)


def source_of(name):
    """The paper or project that a named config is of."""
    return _SOURCES[name]


def get_config(name):
    """The named config.

    Raises:
      ConfigError: no such name; the message lists those that exist.
    """
    if name not in _REGISTRY:
        close = difflib.get_close_matches(name, _REGISTRY, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"unknown model {name!r}: {hint}choose one of {', '.join(_REGISTRY)}")
    return _REGISTRY[name]


def config_from_json(content, base=None):
    """A config from a JSON object of fields.

    Args:
      content: dict; fields that it lacks come from `base`, or from the
        registered config that its "name" names.
      base: Config or None.

    Raises:
      ConfigError: unknown field, wrong type or value, or neither base nor name.
    """
    if not isinstance(content, dict):
        raise ConfigError(f"a config must be a JSON object, not a {type(content).__name__}")
    known = {field.name for field in dataclasses.fields(Config)}
    for key in content:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"fields: {', '.join(sorted(known))}"
            raise ConfigError(f"unknown config field {key!r}: {hint}")
    if base is None:
        required = known - {f.name for f in dataclasses.fields(Config) if _has_default(f)}
        if content.keys() >= (required if content.get("name") not in _REGISTRY else known):
            return Config(**content)
        if "name" not in content:
            raise ConfigError('no model: give "name" in the config file, or --model')
        base = get_config(content["name"])
    return dataclasses.replace(base, **content)


def _has_default(field):
    return field.default is not dataclasses.MISSING


def read_json(path):
    """The JSON object in a file.

    Raises:
      ConfigError: missing, unreadable or not a JSON object; names path, line and column.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"config file {str(path)!r} does not exist") from None
    except OSError as error:
        raise ConfigError(f"config file {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"config file {str(path)!r} is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"config file {str(path)!r} is not valid JSON: "
            f"line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(f"config file {str(path)!r} must hold a JSON object")
    return content
