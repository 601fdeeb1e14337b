"""What a Sequence can be made of: its couplings, and checks of what it is given."""

from __future__ import annotations

import collections
from collections import abc
from typing import Any

import keras

from resnet.reversible.additive import AdditiveCoupling
from resnet.reversible.affine import AffineCoupling
from resnet.reversible.coupling import Coupling
from resnet.reversible.layer_parts import parts_of
from resnet.reversible.sequence import BACKPROPS

# name -> (coupling of (f, g, exact, axis), channels that F returns for one of its half)
COUPLINGS: dict[str, tuple[abc.Callable[..., Coupling], int]] = {
    "additive": (lambda f, g, exact, axis: AdditiveCoupling(f, g, exact), 1),
    "affine": (lambda f, g, exact, axis: AffineCoupling(f, g, "exp", axis), 2),
    "affine_sigmoid": (lambda f, g, exact, axis: AffineCoupling(f, g, "sigmoid", axis), 2),
}

NARROW = ("bfloat16", "float16")  # too few bits for the grid of exact mode


def pairs_of(units: abc.Sequence[Any]) -> list[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """Units as pairs of layers.

    Raises:
      ValueError: none, not pairs, or a layer that stands in two places.
    """
    pairs = [tuple(unit) if isinstance(unit, list | tuple) else (unit,) for unit in units]
    for i, pair in enumerate(pairs):
        if couplings := [one for one in pair if isinstance(one, Coupling)]:
            raise ValueError(
                f"unit {i} has a {type(couplings[0]).__name__}, but couplings belong to "
                "reversible.run_sequence, of which you can make a layer of your own; a unit of "
                "a Sequence is a pair (F, G) of layers"
            )
        if len(pair) != 2 or not all(isinstance(layer, keras.layers.Layer) for layer in pair):
            raise ValueError(
                f"unit {i} is {units[i]!r}, but must be a pair (F, G) of layers: make a layer "
                "of a plain function with reversible.Function(function, params)"
            )
    if not pairs:
        raise ValueError("units is empty: give at least one pair (F, G) of layers")
    layers = [layer for pair in pairs for layer in pair]
    parts = [part for layer in layers for part in {id(p): p for p in parts_of(layer)}.values()]
    parts = [part for part in parts if not isinstance(part, keras.layers.InputLayer)]
    counts = collections.Counter(map(id, parts))
    if twice := [part.name for part in parts if counts[id(part)] > 1]:
        raise ValueError(
            f"layer {twice[0]!r} stands in units twice, or in two F or G, as in [(F, G)] * 3: "
            "its state would move twice a step. Make another one for each, as in "
            "[(make(), make()) for _ in range(3)]"
        )
    return pairs


def require_choices(
    *,
    coupling: Any,
    split_axis: Any,
    exact: bool,
    backprop: str,
    sizes: Any,
    memory_budget: Any,
    loop: bool,
    policy: keras.DTypePolicy,
) -> None:
    """Checks the other arguments; `policy` is that of the layer's dtype.

    Raises:
      ValueError: unknown or excluded choices.
    """
    if coupling not in COUPLINGS and not callable(coupling):
        raise ValueError(
            f"unknown coupling {coupling!r}: choose one of {', '.join(COUPLINGS)}, or give "
            "a function (f, g) that makes one"
        )
    if backprop not in BACKPROPS:
        raise ValueError(f"unknown backprop {backprop!r}: choose one of {', '.join(BACKPROPS)}")
    if exact and coupling != "additive":
        raise ValueError(
            f"exact needs the additive coupling, and this one is {coupling}: a product loses "
            "bits that no grid keeps"
        )
    if exact and keras.backend.standardize_dtype(policy.variable_dtype) in NARROW:
        raise ValueError(
            f"exact keeps halves in float32 or float64, and dtype is {policy.name}: with "
            f'"mixed_{policy.variable_dtype}", F and G compute in it all the same'
        )
    if sizes is not None and not (
        isinstance(sizes, list | tuple)
        and len(sizes) == 2
        and all(isinstance(size, int) and size > 0 for size in sizes)
    ):
        raise ValueError(f"sizes is {sizes!r}, but must be the channels of x1 and of x2")
    if not isinstance(split_axis, int):
        raise ValueError(f"split_axis is {split_axis!r}, but must be the number of an axis")
    if not isinstance(memory_budget, int) or memory_budget < 0:
        raise ValueError(f"memory_budget is {memory_budget!r}, but must be an integer of bytes")
    if memory_budget and backprop != "reversible":
        raise ValueError(
            f'memory_budget needs backprop "reversible", and this one is {backprop!r}: leave '
            "one of them out"
        )
    if loop and (memory_budget or backprop == "checkpoint"):
        raise ValueError(
            'loop goes with backprop "reversible" and "stored", without memory_budget: leave '
            "one of them out"
        )
