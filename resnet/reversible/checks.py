"""Proofs that a reversible layer does what it promises, on an input of the user's."""

import collections
import contextlib
import dataclasses
import math
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from resnet.reversible.exact import EXACT_LIMIT, GRID_STEP, round_to_grid
from resnet.reversible.layer_parts import parts_of
from resnet.reversible.nest import Nest
from resnet.reversible.pure_layer import known_to, taken_by
from resnet.reversible.sequence_layer import Sequence, mask_of

# Of a type that layers compute in: some times what one of its roundings changes.
LEAST_SHARES = {"float32": 1e-4, "float16": 2.0**-7, "bfloat16": 2.0**-4}


class NotReversibleError(ValueError):
    """A layer's inverse, or its gradients, are further off than allowed."""


@dataclasses.dataclass(frozen=True)
class GradientError:
    """How far a gradient is from stored backprop's.

    relative: L2 distance over the L2 norm, of the variable's gradient or of a ten-thousandth
      of all gradients together (1/16 where bfloat16 computes, 1/128 where float16 does), if
      that is more: what is zero but for rounding, as the bias of attention's keys, has no
      direction.
    angle: degrees between the two; 0 where there is no direction.
    """

    relative: float
    angle: float


def check_invertible(
    layer: keras.layers.Layer,
    x: Nest,
    tolerance: float = 1e-3,
    training: bool = False,
    **arguments: Any,
) -> float:
    """Runs a layer forward and back.

    An exact layer rounds its input to a grid first. What it rounded to is what it restores:
    the error is that of the inverse alone, and a warning says how far x was off the grid.

    Args:
      layer: a Sequence, or a layer of your own that has `inverse(y)`.
      x: its input, a tensor or a pair.
      tolerance: largest error allowed, relative to the largest value of x.
      training: as in a call; with dropout, only the inference mode can be inverted.
      **arguments: what a call takes beside x.

    Returns:
      The largest error of a value, relative to the largest value of x.

    Raises:
      NotReversibleError: it is past the tolerance, or not a number.
      TypeError: the layer has no inverse.
    """
    _require(layer, "inverse")
    if hasattr(layer, "latents"):
        raise TypeError(
            f"{layer.name}: a call of a flow returns log-densities, of which there is no inverse: "
            "compare layer.inverse(layer.latents(x)) to x"
        )
    options = {"mask": mask_of(x), "training": training}
    options = {name: value for name, value in options.items() if name not in arguments}
    with state_kept(layer, x, arguments):
        y = layer(x, **known_to(layer, options), **arguments)
        restored = layer.inverse(y, **taken_by(layer.inverse, options), **arguments)
    wanted, got = _arrays(x), _arrays(restored)
    largest = max(np.abs(one).max() for one in wanted)
    if isinstance(layer, Sequence) and layer.exact:
        dtype = layer.variable_dtype
        rounded = _arrays([round_to_grid(tf.cast(t, dtype)) for t in tf.nest.flatten(x)])
        if off := _largest_difference(rounded, wanted):
            warnings.warn(
                f"{layer.name}: exact mode rounds its input to multiples of {GRID_STEP:g}; this "
                f"one moved by up to {off:.2g}, and what it became is what the inverse is "
                "compared to",
                stacklevel=2,
            )
        wanted = rounded
        farthest = max(np.abs(one).max() for one in [*wanted, *_arrays(y)])
        if farthest >= EXACT_LIMIT:
            warnings.warn(
                f"{layer.name}: values reach {farthest:.3g}, but sums are exact below "
                f"{EXACT_LIMIT:g} only: scale the input down",
                stacklevel=2,
            )
    error = _largest_difference(got, wanted) / (largest or 1.0)
    if not error <= tolerance:
        exact = "exact=True or " if getattr(layer, "coupling", "additive") == "additive" else ""
        size = f"off by {error:.2g} of the largest value" if math.isfinite(error) else "not finite"
        raise NotReversibleError(
            f"{layer.name}: the inverse is {size}, but at most {tolerance:g} is allowed: use "
            f"{exact}float64, fewer units, or smaller scales; or F or G is not deterministic, as "
            "with random numbers of its own"
        )
    return error


def check_gradients(
    layer: keras.layers.Layer,
    x: Nest,
    tolerance: float = 1e-2,
    training: bool = True,
    **arguments: Any,
) -> dict[str, GradientError]:
    """Compares a layer's gradients to stored backprop's, for a random upstream gradient.

    Args:
      layer: a Sequence, or a layer of your own that gives its attribute `backprop` to
        `run_sequence`.
      x: its input, a tensor or a pair.
      tolerance: largest relative error allowed.
      training: as in a call.
      **arguments: what a call takes beside x.

    Returns:
      {path of a variable, or "input": GradientError}, of a pair "input 1" and "input 2"; where
      variables share a path, " #2" is behind that of the second, and so on. The layer's state
      is as before.

    Raises:
      NotReversibleError: past the tolerance; or F or G give other values when they are
        run again, without which nothing can be recomputed.
      TypeError: the layer has no attribute backprop.
    """
    _require(layer, "backprop")
    stored = _gradients(layer, x, "stored", training, arguments)
    again = _gradients(layer, x, "stored", training, arguments)
    for name, value in stored.items():
        if not np.allclose(value, again[name], rtol=1e-4, atol=1e-6, equal_nan=True):
            raise NotReversibleError(
                f"{layer.name}: the gradient of {name} differs between two runs of stored "
                "backprop: F or G is not deterministic. Draw random numbers from Keras' "
                "SeedGenerator, whose state is replayed, or pass them in"
            )
    found = _gradients(layer, x, layer.backprop, training, arguments)
    floor = _least_share(layer) * math.hypot(*(np.linalg.norm(v) for v in stored.values()))
    errors = {name: _error(found[name], value, floor) for name, value in stored.items()}
    worst = max(errors, key=lambda name: errors[name].relative)
    if not errors[worst].relative <= tolerance:
        raise NotReversibleError(
            f"{layer.name}: the gradient of {worst} is off by {errors[worst].relative:.2g} of its "
            f"norm ({errors[worst].angle:.2g} degrees), but at most {tolerance:g} is allowed: "
            f"{_advice(layer)}"
        )
    return errors


def _least_share(layer: keras.layers.Layer) -> float:
    """Of all gradients' norm, a share below which one may be rounding alone."""
    types = {part.compute_dtype for part in parts_of(layer)}
    return max(share for name, share in LEAST_SHARES.items() if name in types | {"float32"})


def _advice(layer: Any) -> str:
    """What helps against gradients that are off."""
    if getattr(layer, "exact", False) or layer.backprop != "reversible":
        return "F or G computes something else when it is run again with the same input"
    if getattr(layer, "coupling", "additive") == "additive":
        return "use exact=True or fewer units"
    return "use float64, smaller scales or fewer units"


def _require(layer: object, name: str) -> None:
    if not isinstance(layer, keras.layers.Layer) or not hasattr(layer, name):
        raise TypeError(
            f"{layer!r} is no reversible.Sequence, nor a Keras layer of your own with {name}: give "
            "one, or the one in a model"
        )


def _arrays(nest: Nest) -> list[np.ndarray]:
    return [np.asarray(t, np.float64) for t in tf.nest.flatten(nest)]


def _largest_difference(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def _gradients(
    layer: Any, x: Nest, backprop: str, training: bool, arguments: dict[str, Any]
) -> dict[str, np.ndarray]:
    """{name: float64 array} for one way to backpropagate."""
    before, layer.backprop = layer.backprop, backprop
    try:
        with state_kept(layer, x, arguments), tf.GradientTape() as tape:
            x = tf.nest.map_structure(tf.convert_to_tensor, x)
            tape.watch(x)
            options = known_to(layer, {"training": training})
            y = tf.nest.flatten(layer(x, **options, **arguments))
            upstream = [tf.random.stateless_normal(tf.shape(t), [0, 1], dtype=t.dtype) for t in y]
            products = [tf.reduce_sum(t * u) for t, u in zip(y, upstream, strict=True)]
            # The losses' types are those of F and G.
            product = tf.add_n([tf.cast(t, tf.float64) for t in [*products, *layer.losses]])
        inputs = tf.nest.flatten(x)
        names = ["input"] if len(inputs) == 1 else [f"input {i + 1}" for i in range(len(inputs))]
        variables = _by_name(layer.trainable_variables)
        variables |= dict(zip(names, inputs, strict=True))
        found = tape.gradient(product, variables, unconnected_gradients="zero")
    finally:
        layer.backprop = before
    # Dense, also of a table that was read by tf.gather.
    return {name: np.asarray(tf.convert_to_tensor(g), np.float64) for name, g in found.items()}


def _by_name(variables: list[keras.Variable]) -> dict[str, tf.Tensor]:
    """{path: value}, with numbers behind paths that occur again."""
    values: dict[str, tf.Tensor] = {}
    count: collections.Counter[str] = collections.Counter()
    for variable in variables:
        count[variable.path] += 1
        number = f" #{count[variable.path]}" if count[variable.path] > 1 else ""
        values[variable.path + number] = variable.value
    return values


def _error(got: np.ndarray, wanted: np.ndarray, floor: float) -> GradientError:
    norms = np.linalg.norm(got), np.linalg.norm(wanted)
    if not norms[1]:
        return GradientError(float(norms[0]), 0.0)
    if norms[1] <= floor:
        angle = 0.0
    else:
        angle = float(angle_between(np.ravel(got), np.ravel(wanted))) if norms[0] else 90.0
    return GradientError(float(np.linalg.norm(got - wanted)) / max(float(norms[1]), floor), angle)


def angle_between(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Degrees between two vectors, (n,) float64, as a tensor; exactly 0 if they are equal."""
    one, other = (vector / tf.norm(vector) for vector in (one, other))
    # arccos of the product would lose half of the digits where the angle is small.
    return tf.atan2(tf.norm(one - other), tf.norm(one + other)) * (360 / math.pi)


@contextlib.contextmanager
def state_kept(layer: Any, x: Nest, arguments: dict[str, Any]) -> Iterator[None]:
    """Puts batch statistics and random states back as they were; builds what is not built."""
    if not layer.built:
        layer(x, **known_to(layer, {"training": False}), **arguments)
    values = [tf.identity(v.value) for v in layer.non_trainable_variables]
    try:
        yield
    finally:
        for variable, value in zip(layer.non_trainable_variables, values, strict=True):
            variable.assign(value)
