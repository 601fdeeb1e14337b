"""What can be set, each thing once: its type, choices, bounds, help, and whether it may change.

A config is `NetworkSettings` and a `Recipe`; `RunOptions` say how it is run. All are frozen
dataclasses whose fields are made by `setting`. From these fields alone come the flags and
their help, the checks of JSON and YAML files, `resnet configs --fields` and docs/settings.md.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Any

from resnet.errors import UsageError, shown
from resnet.schedules import SCHEDULES, learning_rate
from resnet.sizes import EXAMPLES, parse_size

BACKPROPS = ("reversible", "stored", "checkpoint")
DTYPES = ("float32", "bfloat16")
SWITCH = ("auto", "on", "off")
SWITCHED = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}  # in flags
STOP, SKIP, WARN = "stop", "skip", "warn"  # what to do about a step whose numbers went wrong
OPTIMIZERS = ("sgd", "muon", "adam", "adamw", "lion", "rmsprop")
DECOUPLED = ("muon", "adamw", "lion")  # by their definition
RECIPE_NAMES = ("paper", "fast", "long")
INTEGERS_BELOW = 2**31  # unless a setting says otherwise: what TensorFlow's int32 holds
UNITS_BELOW = 2**13  # in all: measurements go up to 2,500


class SettingError(UsageError):
    """Settings that make no sense; says which, and what would.

    Attributes:
      keys: names of the settings that it is about, the one to blame first.
    """

    def __init__(self, message: str, *keys: str):
        super().__init__(message)
        self.keys = keys


def wrong(subject: str, key: str, value: Any, wanted: str, *others: str) -> SettingError:
    """The error of a value that does not fit; `others` are settings that it goes with."""
    return SettingError(f"{subject}{key} is {shown(value)}, but must be {wanted}", key, *others)


@dataclasses.dataclass(frozen=True)
class Setting:
    """The facts of one field, its type and default aside."""

    help: str  # one line
    choices: tuple[str, ...] = ()
    low: float | None = None  # the least that a number, or each of a list, may be
    below: float | None = None  # what it must stay below
    is_size: bool = False  # bytes, which people write as 2GB
    may_be_empty: bool = False  # of lists
    is_free: bool = False  # whether a restored run may change it: it is the same experiment
    is_fixed: bool = False  # whether it follows from the model and the data set
    group: str = ""  # heading in help; default: the class's


def setting(text: str, default: Any = dataclasses.MISSING, **facts: Any) -> Any:
    """A field of a settings class, `text` its help; `facts` are Setting's."""
    metadata = {"setting": Setting(text, **facts)}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Field:
    """One setting with all that is known of it."""

    name: str
    kind: type  # bool, int, float, str, or tuple
    item: type | None  # of a tuple: int or float
    is_optional: bool  # whether it may be None
    default: Any  # dataclasses.MISSING where there is none
    facts: Setting

    @property
    def below(self) -> float | None:
        """What a number must stay below; None: any number will do."""
        is_integer = int in (self.kind, self.item)
        return self.facts.below or (INTEGERS_BELOW if is_integer else None)

    @property
    def wanted(self) -> str:
        """What a value must be, in words."""
        facts = self.facts
        names = {bool: "true or false", str: "a text", int: "an integer", float: "a number"}
        plural = {int: "integers", float: "numbers", str: "texts"}
        if facts.choices:
            text = f"one of {', '.join(facts.choices)}"
        elif facts.is_size and self.below is not None:
            text = f"a size below {_short(self.below)} bytes, such as {EXAMPLES}"
        else:
            text = f"a list of {plural[self.item]}" if self.item else names[self.kind]
            if facts.low is not None and self.below is not None:
                text += f" in [{facts.low:g}, {_short(self.below)})"
            elif facts.low is not None:
                text += f" of {facts.low:g} or more"
        return f"{text}, or null" if self.is_optional else text

    def checked(self, value: Any, subject: str = "") -> Any:
        """`value` in the field's type, as JSON or YAML has it: lists for tuples, 1 for 1.0.

        Raises:
          SettingError: it does not fit; `subject` begins its message.
        """
        if value is None and self.is_optional:
            return None
        if self.item and isinstance(value, list | tuple):
            found: Any = tuple(_typed(self.item, one) for one in value)
            fits = (found or self.facts.may_be_empty) and all(map(self._is_within, found))
        else:
            found = _typed(self.kind, value)
            if self.facts.is_size and isinstance(value, str):
                found = self._bytes(value, subject)
            elif self.facts.choices == SWITCH and isinstance(value, bool):
                found = "on" if value else "off"  # YAML 1.1 reads them so
            fits = self._is_within(found)
        if not fits:
            raise wrong(subject, self.name, value, self.wanted)
        return found

    def parsed(self, text: str) -> Any:
        """The value of a flag's text.

        Raises:
          SettingError: it does not fit.
        """
        if self.kind is bool:
            return self.checked(SWITCHED.get(text.lower(), text))
        try:
            if self.item:
                return self.checked([self.item(one) for one in text.split(",") if one.strip()])
            if self.kind in (int, float) and not self.facts.is_size:
                return self.checked(self.kind(text))
        except ValueError as error:
            if isinstance(error, SettingError):
                raise
            raise wrong("", self.name, text, self.wanted) from None
        return self.checked(text)

    def _bytes(self, text: str, subject: str) -> int:
        try:
            return parse_size(text)
        except UsageError as error:
            raise SettingError(f"{subject}{self.name}: {error}", self.name) from None

    def _is_within(self, value: Any) -> bool:
        facts = self.facts
        if value is None:
            return False
        if facts.choices:
            return any(_is_choice(value, choice) for choice in facts.choices)
        if isinstance(value, float) and not math.isfinite(value):
            return False
        low, below = (-math.inf if facts.low is None else facts.low), self.below
        if isinstance(value, str):
            return is_text(value)
        if isinstance(value, bool):
            return True
        return value >= low and (below is None or value < below)


def _typed(kind: type, value: Any) -> Any:
    """`value` as a `kind`; None if it is none."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**1000 else None
    return value if isinstance(value, kind) and isinstance(value, bool) == (kind is bool) else None


def is_text(value: object) -> bool:
    """Whether a value is a text that processes, files and TensorFlow take as it is."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode()
    except UnicodeEncodeError:  # half a character, as JSON, YAML and folders' names can have
        return False


def _is_choice(value: object, choice: str) -> bool:
    """Whether a value is a choice, or begins as one like "tfds:NAME" does."""
    start, colon, _ = choice.partition(":")
    return value == choice or (bool(colon) and str(value).startswith(start + colon))


def _short(number: float) -> str:
    power = math.log2(number)
    return f"2^{power:.0f}" if power >= 8 and power.is_integer() else f"{number:g}"


@functools.cache
def fields_of(settings_class: Any) -> dict[str, Field]:
    """{name: Field} of a settings class."""
    hints, found = typing.get_type_hints(settings_class), {}
    for field in dataclasses.fields(settings_class):
        kind, is_optional = hints[field.name], False
        if isinstance(kind, types.UnionType):
            kind, is_optional = typing.get_args(kind)[0], True
        item = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None
        facts = field.metadata["setting"]
        if not facts.group:
            facts = dataclasses.replace(facts, group=_group_of(settings_class, field.name))
        found[field.name] = Field(
            field.name, tuple if item else kind, item, is_optional, field.default, facts
        )
    return found


def _group_of(settings_class: type, name: str) -> str:
    """The heading of the class that declares a field."""
    declaring = [
        one for one in settings_class.__mro__ if name in vars(one).get("__annotations__", ())
    ]
    return vars(declaring[-1]).get("HEADING", "")


def check_fields(settings: Any, subject: str = "") -> None:
    """Puts every field of a settings object in its type.

    Raises:
      SettingError: a value that does not fit.
    """
    settings_class: Any = type(settings)
    for name, field in fields_of(settings_class).items():
        object.__setattr__(settings, name, field.checked(getattr(settings, name), subject))


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What a network is made of."""

    HEADING = "Network"

    name: str = setting("Name of the config.", is_fixed=True)
    family: str = setting("Kind of network, such as resnet, revnet, irevnet or vgg.", is_fixed=True)
    image_size: int = setting("Pixels a side.", low=1, below=2**13)
    num_classes: int = setting(
        "Classes to tell apart; of CIFAR, the data set's.",
        low=1,
        below=2**20,
        is_fixed=True,
    )
    block: str = setting(
        "Form of a residual function: two 3x3 convolutions, or a bottleneck.",
        choices=("basic", "bottleneck"),
    )
    stem_filters: int = setting(
        "Channels of the stem; 0 without one, as in a VGG.", low=0, below=2**16
    )
    filters: tuple[int, ...] = setting(
        "Channels of each stage; a bottleneck's output has 4 times as many.", low=1, below=2**16
    )
    units: tuple[int, ...] = setting(
        "Units of each stage; a reversible one holds two residual functions.",
        low=1,
        below=UNITS_BELOW,
    )
    strides: tuple[int, ...] = setting("Stride of each stage's first unit.", low=1, below=2**10)
    preprocessor: str = setting(
        "How images are prepared; cifar: less the mean image; cifar-standard: channels "
        "standardised; cifar-unit: in [0, 1]; cifar-grid: in [-2, 2], steps of 1/64; inception: "
        "random boxes and colours; vgg: crops.",
        "cifar",
        choices=("cifar", "cifar-standard", "cifar-unit", "cifar-grid", "inception", "vgg"),
    )
    stem_kernel: int = setting("Pixels a side of the stem's convolution.", 3, low=1, below=2**10)
    stem_stride: int = setting("Stride of the stem's convolution.", 1, low=1, below=2**10)
    stem_max_pool: bool = setting("3x3 maximum with stride 2 behind the stem.", False)
    activation_order: str = setting(
        "Batch norm and ReLU before each convolution, or behind it (the last ReLU behind the sum).",
        "preactivated",
        choices=("preactivated", "original"),
    )
    leading_activation: str = setting(
        "Which residual functions begin with batch norm and ReLU: all but the network's first, or "
        "those of each stage's first unit from the second stage on.",
        "units",
        choices=("units", "stages"),
    )
    shortcut: str = setting(
        "What reshapes a unit's input; pool: average, zero channels on both sides; A: every "
        "stride-th pixel, zero channels; B: 1x1 convolution; auto: pool, of bottlenecks B.",
        "auto",
        choices=("auto", "pool", "A", "B"),
    )
    preactivate_shortcut: bool = setting(
        "Let it start behind the unit's first batch norm and ReLU.", False
    )
    bottleneck_width: int = setting(
        "Channels inside a bottleneck, over its filters.", 1, low=1, below=2**10
    )
    inner_filters: tuple[int, ...] = setting(
        "Channels inside the residual functions of each stage of an i-RevNet.",
        (),
        low=1,
        below=2**16,
        may_be_empty=True,
    )
    bottleneck_stride_at: int = setting(
        "Which of a bottleneck's convolutions has the stride, 1 or 2.", 1, low=1, below=3
    )
    cardinality: int = setting("Groups of a bottleneck's 3x3 convolution.", 1, low=1, below=2**16)
    dropout: float = setting(
        "Share of values dropped behind a residual function's first convolution.",
        0.0,
        low=0,
        below=1,
    )
    initializer: str = setting(
        "Initial weights: by fan out, revnet-public's; or Keras' he_normal.",
        "fan_out",
        choices=("fan_out", "he_normal"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained."""

    HEADING = "Recipe"

    recipe: str = setting(
        "What the settings below start from: the named config's own, or one cycle over 32-pixel "
        "images, short or long.",
        "paper",
        choices=RECIPE_NAMES,
    )
    batch_size: int = setting("Images a step, over all replicas.", 100, low=1, below=2**20)
    num_steps: int = setting("Steps of the whole training.", 80_000, low=0)
    num_epochs: float = setting(
        "The same in passes over the training images; a new run makes steps of them. 0: num_steps.",
        0.0,
        low=0,
        below=INTEGERS_BELOW,
    )
    schedule: str = setting(
        "How the learning rate goes: by boundaries; down to 0 along a cosine or a line; or up from "
        "1/25 of its peak while it warms up, then down, along cosines.",
        "piecewise",
        choices=SCHEDULES,
    )
    learning_rates: tuple[float, ...] = setting(
        "Learning rates, one after the other; of other schedules than piecewise, the peak.",
        (0.1, 0.01, 0.001),
        low=0,
    )
    boundaries: tuple[int, ...] = setting(
        "Steps from which the next of them holds.", (40_000, 60_000), low=0, may_be_empty=True
    )
    warmup_steps: int = setting("Steps in which the learning rate rises at first.", 0, low=0)
    warmup_epochs: float = setting(
        "The same in passes over the training images. 0: warmup_steps.",
        0.0,
        low=0,
        below=INTEGERS_BELOW,
    )
    optimizer: str = setting(
        "What makes updates of gradients: momentum; muon, with orthogonal updates of convolutions' "
        "kernels; or Keras' own.",
        "sgd",
        choices=OPTIMIZERS,
    )
    momentum: float = setting(
        "Of stochastic gradient descent, muon and rmsprop; the others' beta_1.",
        0.9,
        low=0,
        below=1,
    )
    sgd_ratio: float = setting(
        "With optimizer muon: the learning rate of what is no kernel, over that of kernels.",
        30.0,
        low=0,
    )
    nesterov: bool = setting("Nesterov's form of momentum, of sgd; muon always has it.", False)
    weight_decay: float = setting("Adds weight_decay * w to the gradient of weights.", 2e-4, low=0)
    decay_all: bool = setting(
        "Let weight decay act on batch norm's scales and offsets and on biases, too.", False
    )
    decoupled_weight_decay: bool = setting(
        "Take learning rate * weight_decay * w off weights instead, as muon, adamw and lion do.",
        False,
    )
    global_clipnorm: float | None = setting(
        "Scale gradients down to this norm, over all of them, where it is larger.", None, low=0
    )
    label_smoothing: float = setting(
        "Share of the label that all classes divide evenly.", 0.0, low=0, below=1
    )
    ema_decay: float = setting(
        "Decay of the weights' moving average, which is then evaluated and exported; 0: none.",
        0.0,
        low=0,
        below=1,
    )
    flip: str = setting(
        "Mirror images at random, or in every second epoch, or never.",
        "random",
        choices=("random", "alternating", "none"),
    )
    padding: str = setting(
        "What surrounds a small image before its random crop: zeros, or its reflection.",
        "zeros",
        choices=("zeros", "reflect"),
    )
    trivial_augment: bool = setting(
        "TrivialAugment: one random change of each image's colours or geometry.", False
    )
    cutout: int = setting("Pixels a side of a random square that is blanked; 0: none.", 0, low=0)
    mixup: float = setting("Alpha of mixup; 0: none.", 0.0, low=0)
    cutmix: float = setting(
        "Alpha of CutMix; 0: none. With mixup, either in half the steps.", 0.0, low=0
    )
    log_every: int = setting("Steps between rows of the logs.", 100, low=1, is_free=True)
    evaluate_every: int = setting("Steps between evaluations.", 1_000, low=1, is_free=True)
    save_every: int = setting("Steps between checkpoints.", 10_000, low=1, is_free=True)
    evaluation_batch_size: int = setting(
        "Images of a batch in evaluation.", 100, low=1, below=2**20
    )
    seed: int = setting("Of initial weights, the order of images and their augmentation.", 0, low=0)

    def check_recipe(self, subject: str) -> None:
        """Checks what depends on several fields.

        Raises:
          SettingError: they do not go together.
        """
        count, boundaries = len(self.learning_rates) - 1, self.boundaries
        if self.schedule != "piecewise" and (count or boundaries):
            key = "learning_rates" if count else "boundaries"
            wanted = f"{'one, the peak' if count else 'empty'}, with schedule {self.schedule}"
            raise wrong(subject, key, getattr(self, key), wanted, "schedule")
        if len(boundaries) != count or list(boundaries) != sorted(boundaries):
            wanted = f"a rising list of {count} steps, one fewer than learning_rates"
            if not count:
                wanted = "empty where learning_rates has one: a flag is given as --boundaries ''"
            raise wrong(subject, "boundaries", boundaries, wanted, "learning_rates")
        in_epochs = bool(self.num_epochs or self.warmup_epochs)  # what steps they are, is to come
        if self.warmup_steps > self.num_steps and not in_epochs:
            wanted = f"at most num_steps, {self.num_steps}"
            raise wrong(subject, "warmup_steps", self.warmup_steps, wanted, "num_steps")
        if self.schedule == "one_cycle" and self.num_steps and not (self.warmup_steps or in_epochs):
            wanted = "1 or more with schedule one_cycle: the steps on the way up"
            raise wrong(subject, "warmup_steps", 0, wanted, "schedule")
        if self.nesterov and self.optimizer != "sgd":
            wanted = f"false: optimizer {self.optimizer} has no such form"
            raise wrong(subject, "nesterov", True, wanted, "optimizer")
        if self.global_clipnorm == 0:
            raise wrong(subject, "global_clipnorm", 0.0, "more than 0, or null")

    def learning_rate(self, step: int) -> float:
        """Learning rate of update number `step`, counted from 0."""
        return learning_rate(
            self.schedule,
            step,
            self.learning_rates,
            self.boundaries,
            self.warmup_steps,
            self.num_steps,
        )

    @property
    def decay_is_decoupled(self) -> bool:
        """Whether weight decay bypasses the gradient."""
        return self.decoupled_weight_decay or self.optimizer in DECOUPLED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Computation:
    """How a network computes. Whatever they are, exact mode gives the same bits."""

    HEADING = "Memory and speed"

    backprop: str = setting(
        "What the backward pass finds in memory; RevNets' default is reversible, others' stored.",
        "stored",
        choices=BACKPROPS,
        is_free=True,
    )
    dtype: str = setting("Type of the arithmetic; weights are float32.", "float32", choices=DTYPES)
    exact: bool = setting(
        "Keep the residual stream on an exact grid; the default for RevNets.", False
    )
    loop: str = setting(
        "Run a RevNet's equal units in a loop; auto: where they are many.",
        "auto",
        choices=SWITCH,
        is_free=True,
    )
    memory_budget: int | None = setting(
        "Memory of a device for activations of units that then need not be recomputed.",
        None,
        low=0,
        below=2**60,
        is_size=True,
        is_free=True,
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions(Computation):
    """How a config is run: what the network and its recipe do not say."""

    HEADING = "Run"

    dataset: str = setting("Data set.")
    validation: bool = setting(
        "Hold a tenth of the training images out, and evaluate on them instead of the test images.",
        False,
    )
    jit: str = setting(
        "Compile with XLA; auto: on GPUs only.",
        "auto",
        choices=SWITCH,
        is_free=True,
        group=Computation.HEADING,
    )
    steps_per_call: int = setting(
        "Updates in one call of the device; same bits.",
        1,
        low=1,
        below=2**16,
        is_free=True,
        group=Computation.HEADING,
    )
    num_gpu: int | None = setting(
        "GPUs of every host to use; 0 is the CPU.",
        None,
        low=0,
        below=2**10,
        is_free=True,
        group="Devices",
    )
    logical_cpus: int | None = setting(
        "Split the CPU into as many replicas instead, for trials.",
        None,
        low=1,
        below=2**8,
        is_free=True,
        group="Devices",
    )
    num_pass: int = setting(
        "Forward and backward passes over parts of a batch before an update.",
        1,
        low=1,
        is_free=True,
        group="Devices",
    )
    deterministic: bool = setting(
        "Let a step's images depend on seed and step alone (slower).", False, is_free=True
    )
    check_gradients_every: int | None = setting(
        "Steps between comparisons of reversible gradients to stored ones, for the logs.",
        None,
        low=0,
        is_free=True,
    )
    fused_update: bool = setting(
        "Update units in the backward pass, in a loop, so that no gradient is kept; same bits.",
        False,
        is_free=True,
        group=Computation.HEADING,
    )
    nan_policy: str = setting(
        "At a loss or gradient that is not finite: stop unsaved, or leave the update out.",
        STOP,
        choices=(STOP, SKIP),
        is_free=True,
    )
    nan_limit: int = setting(
        "With nan_policy skip, how many updates a process may leave out.", 10, low=0, is_free=True
    )
    exact_policy: str = setting(
        "At values past the range in which the residual stream is exact: warn in the logs, or stop "
        "before the update.",
        WARN,
        choices=(WARN, STOP),
        is_free=True,
    )
    init_from: str | None = setting(
        "Experiment beside this one, or pretrained:MODEL:DATASET, whose weights to start from, but "
        "those whose shapes differ.",
        None,
    )
    max_num_steps: int | None = setting("Stop at this step.", None, low=1, is_free=True)
    test_time_flip: bool = setting(
        "Evaluate the mean over an image and its mirror image, too.", False, is_free=True
    )
    strict: bool = setting(
        "With own images: end at files that cannot be read, rather than leave them out.",
        False,
        is_free=True,
    )
    eval_images: int | None = setting(
        "Evaluate on the first so many images only.", None, low=1, is_free=True
    )
    keep_checkpoints: int | None = setting(
        "Keep so many of the newest checkpoints only.", None, low=1, is_free=True
    )
    keep_best: bool = setting(
        "Also keep the checkpoint of the best evaluation, in best/.", False, is_free=True
    )

    def __post_init__(self) -> None:
        check_fields(self, "run option ")
        if self.check_gradients_every and self.backprop != "reversible":
            raise SettingError(
                f'check_gradients_every needs backprop "reversible", and this run has '
                f"{self.backprop!r}, with which nothing drifts: give 0, or change backprop",
                "check_gradients_every",
                "backprop",
            )

    @property
    def computation(self) -> Computation:
        """How the network computes."""
        return Computation(**{name: getattr(self, name) for name in fields_of(Computation)})


# What of an experiment a restored run may change.
FREE = frozenset(
    name
    for one in (NetworkSettings, Recipe, RunOptions)
    for name, field in fields_of(one).items()
    if field.facts.is_free
)
