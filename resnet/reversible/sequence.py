"""Sequences of couplings: the manual gradient map that recomputes activations."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from resnet.reversible.additive import AdditiveTransition
from resnet.reversible.coupling import Coupling
from resnet.reversible.gradients import (
    PureFunction,
    checked_pair,
    recompute,
    terms_of,
    with_gradient,
)
from resnet.reversible.nest import Nest

BACKPROPS = ("reversible", "stored", "checkpoint")


def run_sequence(
    units: Sequence[Coupling | AdditiveTransition],
    params: Sequence[Nest],
    x: Nest,
    backprop: str = "reversible",
    num_kept: int = 0,
    x_again: Callable[[Nest], Nest] | None = None,
) -> tuple[Nest, list[Nest]]:
    """Applies couplings one after the other.

    Args:
      units: list of n couplings (see `coupling`). The first may be a transition
        without inverse; then the sequence's input is kept for its backward pass.
      params: list of n nests of tensors, a unit's parameters each.
      x: what the first coupling takes: pair (x1, x2) of tensors, or the nest of
        tensors that couplings of your own map.
      backprop: which activations the backward pass finds in memory.
        "reversible": the sequence's output (and a transition's input) only; the
        rest is inverted unit by unit, so that memory does not grow with n.
        "checkpoint": every unit's input. "stored": everything, the framework's
        own way.
      num_kept: with "reversible", how many units at the end are stored all the
        same: memory for time, where there is room.
      x_again: makes x anew from something smaller, so that "reversible" need not keep a
        transition's input: a function of tensors, after which it is to run (see `after`).

    Returns:
      (y, aux): what the last coupling returns, and a list of n aux nests, in which each
      `Term` is differentiable.

    Raises:
      ValueError: unknown backprop, a unit without inverse behind the first, params of more or
        fewer units, or fewer units to keep than none.
      TypeError: a unit returns something else than (y, aux); or, where the gradient is taken, a
        function reads a variable that is not in its params.
    """
    if len(params) != len(units):
        raise ValueError(
            f"{len(params)} nests of params for {len(units)} units: give one for each, an empty "
            "one where a unit has none"
        )
    if backprop not in BACKPROPS:
        raise ValueError(f"unknown backprop {backprop!r}: choose one of {', '.join(BACKPROPS)}")
    if num_kept < 0:
        raise ValueError(f"num_kept is {num_kept}, but must be 0 or more")
    params = tf.nest.map_structure(_value, params)
    if backprop == "reversible":
        for i, unit in enumerate(units[1:], 1):
            if not unit.is_invertible:
                raise ValueError(
                    f"unit {i} ({type(unit).__name__}) has no inverse: only a sequence's first "
                    "unit may lack one. Start a new sequence there"
                )
        cut = len(units) - min(num_kept, len(units))
        with tf.name_scope(backprop):
            x, aux = _run_reversible(units[:cut], params[:cut], x, x_again) if cut else (x, [])
    else:
        cut, aux = 0, []
    keep = recompute if backprop == "checkpoint" else lambda function: function
    functions = [keep(unit.forward) for unit in units[cut:]]
    with tf.name_scope("checkpoint" if backprop == "checkpoint" else "stored"):
        y, more_aux = _run_forward(functions, params[cut:], x)
    # Gradients from outside are summed at the identities, before those from inside
    # are added: the same order of additions, hence the same bits, whatever is stored.
    return tf.nest.map_structure(tf.identity, y), aux + more_aux


def _run_forward(
    functions: Sequence[PureFunction], params: Sequence[Nest], x: Nest
) -> tuple[Nest, list[Nest]]:
    aux = []
    for i, (function, unit_params) in enumerate(zip(functions, params, strict=True)):
        with tf.name_scope(f"unit_{i}"):
            y, unit_aux = checked_pair(function(unit_params, x), f"unit {i}")
        if isinstance(x, list | tuple) and _are_alike((y, unit_aux), x):
            raise TypeError(
                f"unit {i} returns a pair of tensors, and where x is a pair, (y, aux) is expected: "
                "return (y, ()) where there is nothing beside y"
            )
        x = y
        aux.append(unit_aux)
    return x, aux


def _are_alike(one: Nest, other: Nest) -> bool:
    """Whether two nests are as many tensors of the same shapes, and nothing deeper."""
    flat = tf.nest.flatten(other)
    are_tensors = len(one) == len(flat) and all(map(tf.is_tensor, one))
    return are_tensors and all(a.shape == b.shape for a, b in zip(one, flat, strict=True))


def _value(param: Any) -> Any:
    """A parameter, of a variable what it holds: a gradient flows to its value."""
    return tf.convert_to_tensor(param) if isinstance(param, tf.Variable | keras.Variable) else param


def _run_reversible(
    units: Sequence[Any],
    params: Sequence[Nest],
    x: Nest,
    x_again: Callable[[Nest], Nest] | None,
) -> tuple[Nest, list[Nest]]:
    def forward(params: Nest, x: Nest) -> tuple[Nest, Nest]:
        return _run_forward([unit.forward for unit in units], params, x)

    def backward(params: Nest, x: Nest, y: Nest, d: Nest, daux: Nest) -> tuple[Nest, Nest]:
        h, dparams = y, []
        for i, (unit, unit_params, part) in reversed(
            [*enumerate(zip(units, params, daux, strict=True))]
        ):
            terms = [part] if terms_of(part) else []
            with tf.name_scope(f"unit_{i}"):
                if unit.is_invertible:
                    h, d, dunit = unit.backward(unit_params, h, d, *terms)
                else:
                    start = x_again(d) if x_again else x
                    d, dunit = unit.backward(unit_params, start, h, d, *terms)
            dparams.append(dunit)
        return d, dparams[::-1]

    return with_gradient(forward, backward, params, x)
