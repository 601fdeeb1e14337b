"""Stages: a first unit that may change the shape, then units of equal shape.

Each tensor of the equal units is stored once, with the unit as leading axis:
few variables and few update operations, however deep the network. A stage's
parameters are {"start/...": one unit's tensor, "units/...": stacked tensor}.
"""

import dataclasses

import tensorflow as tf

from resnet.models.parameters import prefixed, under
from resnet.models.residual import Residual, Shortcut
from resnet.models.units import ResidualUnit
from resnet.reversible import (
    AdditiveCoupling,
    AdditiveTransition,
    Repeated,
    recompute,
    run_sequence,
)


def stack(nests):
    """[{name: tensor}] of n units -> {name: tensor of leading axis n}; {} where n is 0."""
    return {name: tf.stack([nest[name] for nest in nests]) for name in nests[0]} if nests else {}


def joined(nests, num_stacked):
    """As `stack`, of nests the first `num_stacked` of which have the leading axis already."""
    parts = [*nests[:num_stacked], stack(nests[num_stacked:])]
    parts = [part for part in parts if part]
    return {name: tf.concat([p[name] for p in parts], axis=0) for name in parts[0]} if parts else {}


def unstack(params, num_units):
    """{name: tensor of leading axis num_units} -> [{name: tensor}]."""
    columns = {name: tf.unstack(value, num_units) for name, value in params.items()}
    return [{name: column[i] for name, column in columns.items()} for i in range(num_units)]


@dataclasses.dataclass(frozen=True)
class ResidualStage:
    """A ResNet's stage."""

    num_halves = 1  # parts that the channels are split in

    start: ResidualUnit
    unit: ResidualUnit  # the form of the others
    num_others: int
    backprop: str

    def residuals(self):
        """Every Residual of the stage, in order."""
        return [self.start.residual] + [self.unit.residual] * self.num_others

    def start_shortcuts(self):
        """The first unit's shortcuts."""
        return (self.start.shortcut,)

    def start_parameters(self):
        """{name: Parameter} of the first unit."""
        return self.start.parameters()

    def unit_parameters(self):
        """{name: Parameter} of each other unit."""
        return self.unit.parameters()

    def __call__(self, params, x, training):
        """(N, H, W, C) -> (N, H/stride, W/stride, filters), statistics, and 0: no exact range."""
        statistics = []
        units = [self.start] + [self.unit] * self.num_others
        all_params = [under("start", params), *unstack(under("units", params), self.num_others)]
        for unit, unit_params in zip(units, all_params, strict=True):

            def run(params, x, unit=unit):
                return unit(params, x, training)

            x, found = (recompute(run) if self.backprop == "checkpoint" else run)(unit_params, x)
            statistics.append(found)
        first, *others = statistics
        return x, prefixed("start", first) | prefixed("units", stack(others)), tf.constant(0)


@dataclasses.dataclass(frozen=True)
class ReversibleStage:
    """A RevNet's stage; a unit adds F to one half of the channels and G to the other."""

    num_halves = 2

    start_f: Residual
    residual: Residual  # the form of every other F and G
    shortcuts: tuple  # of the first unit's halves
    num_others: int
    backprop: str
    exact: bool
    num_kept: int = 0  # units at its end that "reversible" stores all the same
    loop: bool = False  # whether units of equal shape run in a loop

    @property
    def num_looped(self):
        """Units that run in a loop; those that are kept at the end do not."""
        return self.num_others - min(self.num_kept, self.num_others) if self.loop else 0

    def residuals(self):
        """Every Residual of the stage, in order."""
        return [self.start_f] + [self.residual] * (1 + 2 * self.num_others)

    def start_shortcuts(self):
        """The first unit's shortcuts."""
        return self.shortcuts

    def start_parameters(self):
        """{name: Parameter} of the first unit."""
        shortcut1, shortcut2 = self.shortcuts
        return (
            prefixed("f", self.start_f.parameters())
            | prefixed("g", self.residual.parameters())
            | shortcut1.parameters()
            | shortcut2.parameters()
        )

    def unit_parameters(self):
        """{name: Parameter} of each other unit."""
        one = self.residual.parameters()
        return prefixed("f", one) | prefixed("g", one)

    def __call__(self, params, x, training):
        """Runs the stage.

        Args:
          params: {name: tensor}.
          x: pair of (N, H, W, C) float32.
          training: whether batch norm uses the batch's statistics.

        Returns:
          (y, statistics, past): pair of (N, H/stride, W/stride, filters); {name: batch
          statistic}; int32 number of values past the exact range.
        """

        def pure(residual):
            return lambda params, x: residual(params, x, training)

        def pure_shortcut(shortcut: Shortcut):
            return lambda params, x: (shortcut(params, x), {})

        f = g = pure(self.residual)
        unit = AdditiveCoupling(f, g, self.exact)
        start = under("start", params)
        start_params = (under("f", start), under("g", start))
        if all(shortcut.is_identity for shortcut in self.shortcuts):
            first = AdditiveCoupling(pure(self.start_f), g, self.exact)
        else:
            shortcuts = [pure_shortcut(shortcut) for shortcut in self.shortcuts]
            first = AdditiveTransition(pure(self.start_f), g, *shortcuts, self.exact)
            start_params += tuple(
                {name: start[name] for name in shortcut.parameters()} for shortcut in self.shortcuts
            )
        count = self.num_looped
        others = under("units", params)
        looped = [{name: value[:count] for name, value in others.items()}] if count else []
        rest = {name: value[count:] for name, value in others.items()}
        rest = unstack(rest, self.num_others - count)
        y, aux = run_sequence(
            [first] + [Repeated(unit, count)] * len(looped) + [unit] * len(rest),
            [start_params] + [(under("f", p), under("g", p)) for p in looped + rest],
            x,
            self.backprop,
            self.num_kept,
        )
        first, *others = [prefixed("f", f) | prefixed("g", g) for f, g, _ in aux]
        statistics = prefixed("start", first) | prefixed("units", joined(others, len(looped)))
        return y, statistics, tf.add_n([tf.reduce_sum(past) for _, _, past in aux])
