"""The exact residual stream: sums that subtract back to the same bits.

Inverting `y = x + f` in floating point loses the low bits of x, and a deep
network amplifies the loss unit by unit. If x and f are multiples of a common
step and small enough, both the sum and the difference are exact, so that
`(x + f) - f == x` to the bit, whatever type F itself computes in.
"""

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import tensorflow as tf

GRID_STEP = 2.0**-12
# float32 has a 24-bit significand: multiples of 2**-12 up to 2**12 are all
# representable. The limit leaves a factor of two for one sum of two such values.
EXACT_LIMIT = 2.0**11


@tf.custom_gradient
def round_to_grid(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Rounds to the nearest multiple of GRID_STEP, half to even.

    Args:
      x: float32 or float64 tensor of any shape.

    Returns:
      A tensor like x. The gradient passes straight through: rounding is not
      differentiated.

    Raises:
      ValueError: another type, too narrow for the grid.
    """
    require_wide(x)
    return grid_values(x), lambda upstream: upstream


def require_wide(x: tf.Tensor) -> None:
    """Checks that a tensor's type holds the grid.

    Raises:
      ValueError: it does not.
    """
    if x.dtype not in (tf.float32, tf.float64):
        raise ValueError(
            f"exact mode keeps values in float32 or float64, and these are {x.dtype.name}: F and G "
            "may compute in it, and cast what they take and return"
        )


def grid_values(x: tf.Tensor) -> tf.Tensor:
    """What `round_to_grid` returns, where nothing is differentiated.

    A function with a gradient of its own holds its input until it is done; here, the result takes
    the place of x.
    """
    return tf.round(x * (1.0 / GRID_STEP)) * GRID_STEP


@tf.custom_gradient
def differentiated_once(*tensors: tf.Tensor) -> tuple[Any, Callable[..., NoReturn]]:
    """The tensors themselves, of which nothing can be differentiated.

    `grid_values` has no gradient: where it restores what a gradient is computed of, that gradient's
    own gradient would be another function's.

    Raises:
      NotImplementedError, when a gradient through them is asked for.
    """

    def refuse(*_: tf.Tensor) -> NoReturn:
        raise NotImplementedError(
            "gradients of an exact reversible unit have no gradients of their own: for second "
            'derivatives, take exact=False, or backprop="stored"; where their values alone count, '
            "pass them through tf.stop_gradient"
        )

    return [tf.identity(tensor) for tensor in tensors], refuse


def count_past_exact_range(*tensors: tf.Tensor) -> tf.Tensor:
    """Number of tensors that have a value whose magnitude is EXACT_LIMIT or more, or NaN.

    Args:
      *tensors: float tensors of any shape.

    Returns:
      int32 scalar.
    """
    # Largest and smallest value: counting values would take a pass more, and memory. And to branch
    # would make the host wait for a GPU at every unit.
    found = [tf.stop_gradient(x) for x in tensors]
    inside = [(tf.reduce_max(x) < EXACT_LIMIT) & (tf.reduce_min(x) > -EXACT_LIMIT) for x in found]
    # Not add_n, of which ONNX has none for integers.
    return functools.reduce(tf.add, [1 - tf.cast(is_inside, tf.int32) for is_inside in inside])
