"""Stages: a first unit that may change the shape, then units of equal shape.

Each tensor of the equal units is stored once, with the unit as leading axis:
few variables and few update operations, however deep the network. A stage's
parameters are {"start/...": one unit's tensor, "units/...": stacked tensor}.

What a network asks of a stage, beside `run_stages`: `num_others`, `num_halves`, `max_pool`;
`start_parameters()` and `unit_parameters()`; and for its cost, `dtype`, `stream_dtype`, `is_plain`,
`chains()` and `start_shortcut_convolutions()`.
"""

import dataclasses
import functools

import tensorflow as tf

from resnet.models.parameters import prefixed, under
from resnet.models.residual import Residual
from resnet.models.units import PlainUnit, ResidualUnit
from resnet.reversible import (
    AdditiveCoupling,
    AdditiveTransition,
    Repeated,
    SelfUpdating,
    Squeeze,
    recompute,
    run_sequence,
)

LOOP_FROM = 16  # units of equal shape from which a loop is used, unless asked for


def stack(nests):
    """[{name: tensor}] of n units -> {name: tensor of leading axis n}; {} where n is 0."""
    return {name: tf.stack([nest[name] for nest in nests]) for name in nests[0]} if nests else {}


def unstack(params, num_units):
    """{name: tensor of leading axis num_units} -> [{name: tensor}]."""
    columns = {name: tf.unstack(value, num_units) for name, value in params.items()}
    return [{name: column[i] for name, column in columns.items()} for i in range(num_units)]


def seed_at(seed, place):
    """The seed of a place in the network; None if there is none.

    Args:
      seed: (2,) int64 or None.
      place: integer, or int32 scalar.
    """
    return None if seed is None else seed + tf.stack([0, tf.cast(place, tf.int64)])


@dataclasses.dataclass(frozen=True)
class Stage:
    """A ResNet's or VGG's stage."""

    num_halves = 1  # parts that the channels are split in
    squeezes = False

    start: ResidualUnit | PlainUnit
    unit: ResidualUnit | PlainUnit  # the form of the others
    num_others: int
    backprop: str
    max_pool: bool = False  # 2x2, stride 2, at its end

    @property
    def is_plain(self):
        """Whether units are without shortcuts."""
        return isinstance(self.unit, PlainUnit)

    @property
    def dtype(self):
        """Type of the arithmetic."""
        return self.unit.dtype

    @property
    def stream_dtype(self):
        """Type of what units hand on."""
        return self.unit.dtype

    def chains(self):
        """[[Convolution]]: those of each unit, one behind the other, in order."""
        return [self.start.convolutions()] + [self.unit.convolutions()] * self.num_others

    def start_shortcut_convolutions(self):
        """[Convolution] of the first unit's shortcut."""
        return self.start.shortcut_convolutions()

    def start_parameters(self):
        """{name: Parameter} of the first unit."""
        return self.start.parameters()

    def unit_parameters(self):
        """{name: Parameter} of each other unit."""
        return self.unit.parameters()

    def __call__(self, params, x, training, seed=None):
        """(N, H, W, C) -> (N, H/stride, W/stride, filters), statistics, and 0: no exact range."""
        statistics = []
        units = [self.start] + [self.unit] * self.num_others
        all_params = [under("start", params), *unstack(under("units", params), self.num_others)]
        for i, (unit, unit_params) in enumerate(zip(units, all_params, strict=True)):
            unit_seed = seed_at(seed, i)

            def run(params, x, unit=unit, unit_seed=unit_seed):
                return unit(params, x, training, unit_seed)

            with tf.name_scope(f"{self.backprop}/unit_{i}/f"):
                function = recompute(run) if self.backprop == "checkpoint" else run
                x, found = function(unit_params, x)
            statistics.append(found)
        first, *others = statistics
        if self.max_pool:
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        return x, prefixed("start", first) | prefixed("units", stack(others)), tf.constant(0)


@dataclasses.dataclass(frozen=True)
class ReversibleStage:
    """A RevNet's stage; a unit adds F to one half of the channels and G to the other."""

    num_halves = 2
    max_pool = False
    is_plain = False
    stream_dtype = tf.float32  # of the halves

    start_f: Residual
    start_g: Residual
    residual: Residual  # the form of every other F and G
    shortcuts: tuple  # of the first unit's halves
    num_others: int
    backprop: str
    exact: bool
    num_kept: int = 0  # units at its end that "reversible" stores all the same
    loop: bool = False  # whether units of equal shape run in a loop
    squeezes: bool = False  # whether it begins with space to depth

    @property
    def dtype(self):
        """Type of the residual functions' arithmetic."""
        return self.residual.dtype

    def chains(self):
        """[[Convolution]]: those of each F and G, one behind the other, in order."""
        others = [self.residual.convolutions()] * (2 * self.num_others)
        return [self.start_f.convolutions(), self.start_g.convolutions(), *others]

    def start_shortcut_convolutions(self):
        """[Convolution] of the first unit's shortcuts."""
        return [conv for shortcut in self.shortcuts for conv in shortcut.convolutions()]

    def start_parameters(self):
        """{name: Parameter} of the first unit."""
        shortcut1, shortcut2 = self.shortcuts
        return (
            prefixed("f", self.start_f.parameters())
            | prefixed("g", self.start_g.parameters())
            | shortcut1.parameters()
            | shortcut2.parameters()
        )

    def unit_parameters(self):
        """{name: Parameter} of each other unit."""
        one = self.residual.parameters()
        return prefixed("f", one) | prefixed("g", one)

    def found(self, couplings, aux):
        """(statistics, past) of the aux of a stage's couplings: those of `couplings`.

        {name: batch statistic}; int32 number of tensors with values past the exact range.
        """
        pairs = list(zip(couplings, aux, strict=True))[int(self.squeezes) :]
        (_, (f, g, _)), *others = pairs
        units = [(coupling, prefixed("f", f) | prefixed("g", g)) for coupling, (f, g, _) in others]
        statistics = prefixed("start", prefixed("f", f) | prefixed("g", g))
        statistics |= prefixed("units", _joined(units))
        return statistics, tf.add_n([tf.reduce_sum(past) for _, _, past in aux])

    def couplings(self, params, training, seed=None, units=None):
        """What the stage is made of.

        Args:
          params: {name: tensor}.
          training: whether batch norm uses the batch's statistics, and values are dropped.
          seed: (2,) int64 that says which; None if none are.
          units: training.fused.Units, of which params has no weights: none is kept.

        Returns:
          (couplings, their parameters, how many at the end are kept): of a pair of
          (N, H, W, C) float32 -> (N, H/stride, W/stride, filters).
        """

        def pure(residual, place):
            return lambda params, x: residual(params, x, training, seed_at(seed, place))

        def pure_shortcut(shortcut):
            return lambda params, x: shortcut(params, x, training)

        def unit_at(i):
            f, g = (pure(self.residual, 2 * i + half) for half in (0, 1))
            return AdditiveCoupling(f, g, self.exact)

        f, g = pure(self.start_f, 0), pure(self.start_g, 1)
        start = under("start", params)
        start_params = (under("f", start), under("g", start))
        if all(shortcut.is_identity for shortcut in self.shortcuts):
            first = AdditiveCoupling(f, g, self.exact)
        else:
            shortcuts = [pure_shortcut(shortcut) for shortcut in self.shortcuts]
            first = AdditiveTransition(f, g, *shortcuts, self.exact)
            start_params += tuple(
                {name: start[name] for name in shortcut.parameters()} for shortcut in self.shortcuts
            )
        if units:
            others, others_params, num_kept = self._self_updating(unit_at, units)
        else:
            others, others_params, num_kept = self._others(unit_at, under("units", params))
            others_params = [(under("f", p), under("g", p)) for p in others_params]
        before = [Squeeze()] if self.squeezes else []
        couplings = [*before, first, *others]
        all_params = [*((),) * len(before), start_params, *others_params]
        is_all_kept = self.num_kept > self.num_others and not units
        return couplings, all_params, len(couplings) if is_all_kept else num_kept

    def _self_updating(self, unit_at, units):
        """As `_others`, of units whose weights are read and updated where they are needed.

        In a loop, always: what reads and updates one unit is many operations.
        """

        def read(i):
            params = units.read(i)
            return under("f", params), under("g", params)

        def update(i, gradients):
            f, g = gradients
            return units.update(i, prefixed("f", f) | prefixed("g", g))

        def updating_at(i):
            return SelfUpdating(
                unit_at(1 + i), functools.partial(read, i), functools.partial(update, i)
            )

        if not self.num_others:
            return [], [], 0
        return [Repeated(updating_at, self.num_others)], [()], 0

    def _others(self, unit_at, params):
        """(couplings, their parameters, how many couplings at the end are kept).

        `unit_at(i)` makes the unit at place i of the stage, counted from 1 for these.
        """
        num_kept = min(self.num_kept, self.num_others)
        num_walked = self.num_others - num_kept
        couplings, coupling_params = [], []
        # Units that are kept make a small graph without a loop, unless they are many.
        for begin, count, loop_from in ((0, num_walked, 1), (num_walked, num_kept, LOOP_FROM)):
            part = {name: value[begin : begin + count] for name, value in params.items()}
            is_loop = self.loop and count >= loop_from
            if is_loop:
                couplings.append(Repeated(lambda i, begin=begin: unit_at(begin + 1 + i), count))
            else:
                couplings += [unit_at(begin + 1 + i) for i in range(count)]
            coupling_params += [part] if is_loop else unstack(part, count)
        return couplings, coupling_params, 1 if is_loop else count


def _joined(pairs):
    """The {name: tensor} of every unit as one stack, of (coupling, nest); loops come first."""
    parts = [nest for coupling, nest in pairs if isinstance(coupling, Repeated)]
    single = [nest for coupling, nest in pairs if not isinstance(coupling, Repeated)]
    parts += [stack(single)] if single else []
    names = pairs[0][1] if pairs else ()
    return {name: tf.concat([part[name] for part in parts], axis=0) for name in names}


def run_stages(stages, params, x, training, seeds, units=None, x_again=None):
    """Runs stages one behind the other: reversible ones as one sequence.

    Args:
      stages: list of stages, of which only the first may have a unit without inverse.
      params: [{name: tensor}], of each.
      x: what the first stage takes.
      training: whether batch norm uses the batch's statistics, and values are dropped.
      seeds: [(2,) int64 or None], of each: which values are dropped.
      units: [training.fused.Units] of each, whose weights params lacks; None: of none.
      x_again: as of `run_sequence`.

    Returns:
      (y, statistics, past): the last stage's output; [{name: batch statistic}] of each; int32
      number of tensors with values past the exact range.
    """
    if not isinstance(stages[0], ReversibleStage):
        y, statistics, past = stages[0](params[0], x, training, seeds[0])
        return y, [statistics], past
    couplings, all_params, num_kept, ends = _in_a_row(stages, params, training, seeds, units)
    y, aux = run_sequence(couplings, all_params, x, stages[0].backprop, num_kept, x_again)
    found = [
        stage.found(couplings[begin:end], aux[begin:end])
        for stage, begin, end in zip(stages, [0, *ends], ends, strict=False)
    ]
    return y, [statistics for statistics, _ in found], tf.add_n([past for _, past in found])


def reconstruct(stages, params, x, seeds):
    """Runs reversible stages in training, and inverts them back to the first unit that can be.

    Args:
      stages, params, x, seeds: as of `run_stages`.

    Returns:
      (y, error): the last stage's output; the largest error of a value that backprop restores,
      relative to the largest value.
    """
    couplings, params, num_kept, _ = _in_a_row(stages, params, True, seeds)
    begin, cut = int(not couplings[0].is_invertible), len(couplings) - num_kept
    x, _ = run_sequence(couplings[:begin], params[:begin], x, "stored")
    h, _ = run_sequence(couplings[begin:cut], params[begin:cut], x, "stored")
    y, _ = run_sequence(couplings[max(begin, cut) :], params[max(begin, cut) :], h, "stored")
    h = _inverse(couplings[begin:cut], params[begin:cut], h)
    error = [tf.reduce_max(tf.abs(a - b)) for a, b in zip(h, x, strict=True)]
    return y, tf.reduce_max(error) / tf.reduce_max([tf.reduce_max(tf.abs(t)) for t in x])


def invert_stages(stages, params, y):
    """What reversible stages were given, of their output in evaluation: a pair.

    Args:
      stages, params: as of `run_stages`; every unit has an inverse.
      y: pair of (N, H, W, C) float32.
    """
    couplings, params, _, _ = _in_a_row(stages, params, False, [None] * len(stages))
    return _inverse(couplings, params, y)


def _in_a_row(stages, params, training, seeds, units=None):
    """(couplings of all stages, their parameters, how many at the end are kept, stages' ends)."""
    couplings, all_params, ends, num_kept = [], [], [], 0
    units = units or [None] * len(stages)
    for stage, stage_params, seed, own_units in zip(stages, params, seeds, units, strict=True):
        own, own_params, kept = stage.couplings(stage_params, training, seed, own_units)
        num_kept += kept  # of a stage before another one, nothing unless all behind it are
        couplings, all_params = couplings + own, all_params + own_params
        ends.append(len(couplings))
    return couplings, all_params, num_kept, ends


def _inverse(couplings, params, y):
    """What a sequence of couplings was given."""
    for coupling, coupling_params in zip(couplings[::-1], params[::-1], strict=True):
        y = coupling.inverse(coupling_params, y)
    return y
