"""What a model family is: the configs that it takes, its defaults, and what it builds."""

from collections.abc import Iterable
from typing import Any

from resnet.configs import Config
from resnet.models.units import Head
from resnet.settings import Computation, SettingError, fields_of, wrong

AnyStage = Any  # as resnet/models/stages.py describes
AnyStem = Any  # one of resnet/models/stems.py


class Family:
    """A kind of network.

    A family is a module of resnet/models/families: a subclass with `stem` and `stage`, and an
    instance of it, FAMILY.

    Attributes:
      name: what Config.family says.
      title: its name in messages.
      num_halves: parts that the stream's channels are split in: 2 where units have an inverse.
      inverts: whether all of a network up to its head has an inverse: its stages run as one.
      defaults: how its networks compute where nothing is asked for.
    """

    name = title = ""
    num_halves = 1
    inverts = False
    defaults = Computation(backprop="stored", exact=False)

    @property
    def is_reversible(self) -> bool:
        """Whether units have an inverse."""
        return self.num_halves == 2

    # ----------------------------------------------------------------- validation

    def check(self, config: Config) -> None:
        """Checks what a config's fields must be in this family, and because of each other.

        Raises:
          SettingError: they do not go together.
        """

    def check_computation(self, config: Config, computation: Computation) -> None:
        """Checks that a config's network can compute so.

        Raises:
          SettingError: it cannot, or the computation's fields do not go together.
        """
        backprop = computation.backprop
        if not self.is_reversible and (backprop == "reversible" or computation.exact):
            key, asked = "exact", "exact mode"
            if backprop == "reversible":
                key, asked = "backprop", 'backprop "reversible"'
            raise SettingError(
                f"{asked} needs a RevNet, and {config.name} is a {self.title}: its units have no "
                'inverse. Use backprop "stored" or "checkpoint" without exact mode, or a RevNet',
                key,
                "family",
            )
        if computation.loop == "on" and backprop != "reversible":
            raise SettingError(
                f'loop "on" needs backprop "reversible", but {config.name} has {backprop!r}: '
                'leave loop at "auto"',
                "loop",
                "backprop",
            )
        if computation.memory_budget and backprop != "reversible":
            raise SettingError(
                f'a memory budget needs backprop "reversible", but {config.name} has '
                f"{backprop!r}: give a budget of 0, or change backprop",
                "memory_budget",
                "backprop",
            )

    # ------------------------------------------------------------------- building

    def stem(self, config: Config, computation: Computation) -> AnyStem:
        """The stem: one of resnet/models/stems.py."""
        raise NotImplementedError

    def stage(
        self,
        config: Config,
        computation: Computation,
        place: int,
        in_channels: int,
        filters: int,
        stride: int,
        num_others: int,
    ) -> AnyStage:
        """A stage: an object as resnet/models/stages.py describes.

        Args:
          config: Config.
          computation: Computation.
          place: of the stage, counted from 0.
          in_channels, filters: channels of its input and output; of a half, where there are two.
          stride: of its first unit.
          num_others: units behind the first.
        """
        raise NotImplementedError

    def stages(self, config: Config, computation: Computation) -> list[AnyStage]:
        """All stages, in order."""
        found, in_channels = [], self.stem(config, computation).filters // self.num_halves
        shapes = zip(config.stage_channels, config.units, config.strides, strict=True)
        for place, (channels, units, stride) in enumerate(shapes):
            filters = channels // self.num_halves
            found.append(
                self.stage(config, computation, place, in_channels, filters, stride, units - 1)
            )
            in_channels = filters
        return found

    def head(self, config: Config) -> Head:
        """The Head."""
        return Head(config.stage_channels[-1], config.num_classes)

    # -------------------------------------------------------------------- reports

    def units_name(self, config: Config) -> str:
        """What `config.units` counts, in the plural."""
        return f"{config.block} units"


def require(config: Config, condition: bool, field: str, wanted: str, *others: str) -> None:
    """Raises the SettingError of a config's field, unless a condition holds.

    `others` are fields that it goes with.
    """
    if not condition:
        raise wrong(f"config {config.name}: ", field, getattr(config, field), wanted, *others)


def require_defaults(config: Config, fields: Iterable[str], wanted: str, *others: str) -> None:
    """Requires that fields have the values that configs have if they say nothing."""
    config_class: Any = type(config)
    known = fields_of(config_class)
    for field in fields:
        require(config, getattr(config, field) == known[field].default, field, wanted, *others)
