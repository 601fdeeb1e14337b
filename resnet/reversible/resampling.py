"""Couplings that change the shape: downsampling that inverts, and upsampling by their inverses.

With them a whole network is one sequence, of which no stage's input is kept. Each maps every
tensor of its nest by itself, (N, H, W, C), so that a pair stays a pair; none has parameters, and
their aux is a triple as the additive coupling's. `run_sequence` takes them anywhere in a list.
"""

import math

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.exact import GRID_STEP, count_past_exact_range, require_wide
from resnet.reversible.gradients import Term
from resnet.reversible.log_determinant import LogDeterminant
from resnet.reversible.nest import Nest
from resnet.reversible.ordering import after


def _aux(count: tf.Tensor | None = None) -> Nest:
    return (), (), tf.constant(0) if count is None else count


def _require_even(x: tf.Tensor, what: str) -> None:
    sides = x.shape[1:3]
    if x.shape.rank != 4 or any(side is not None and side % 2 for side in sides):
        raise ValueError(
            f"{what} takes (N, H, W, C) with an even height and width, but got shape "
            f"{tuple(x.shape)}: pad the images, or downsample less often"
        )


def _require_four(y: tf.Tensor, what: str) -> None:
    if y.shape.rank != 4 or (y.shape[-1] is not None and y.shape[-1] % 4):
        raise ValueError(
            f"the inverse of {what} takes (N, H, W, 4 C), but got shape {tuple(y.shape)}"
        )


class Squeeze(Coupling):
    """Space to depth: (N, H, W, C) -> (N, H/2, W/2, 4 C), each 2x2 square's pixels as channels.

    It moves values and computes nothing: every bit stays, exact or not.

    Source: Dinh et al. 2017, https://arxiv.org/abs/1605.08803.
    """

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """x -> (y, aux)."""

        def squeeze(half: tf.Tensor) -> tf.Tensor:
            _require_even(half, "Squeeze")
            return tf.nn.space_to_depth(half, 2)

        return tf.nest.map_structure(squeeze, x), _aux()

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> x."""

        def spread(half: tf.Tensor) -> tf.Tensor:
            _require_four(half, "Squeeze")
            return tf.nn.depth_to_space(half, 2)

        return tf.nest.map_structure(spread, y)

    def backward(self, params: Nest, y: Nest, dy: Nest, daux: Nest = ()) -> tuple[Nest, Nest, Nest]:
        """(x, dx, params' gradient): the gradient moves as the values do."""
        return self.inverse(params, after(dy, y)), self.inverse(params, dy), params


class Haar(Coupling):
    """The Haar wavelet: (N, H, W, C) -> (N, H/2, W/2, 4 C), of each 2x2 square a b / c d

        (a + b + c + d) / 2,  (a - b + c - d) / 2,  (a + b - c - d) / 2,  (a - b - c + d) / 2.

    It is orthonormal: lengths stay, and the inverse is the transpose. With `exact` it is its
    integer form by lifting instead, on the grid of exact mode: along rows, then along columns,

        d = a - b,  s = b + floor(d / 2)        b = s - floor(d / 2),  a = b + d

    which keeps every bit of values on the grid and rounds to it. Its differences are not
    divided; its gradient is that of the same without rounding.

    Sources: Haar 1910, https://doi.org/10.1007/BF01456326; the integer form: Calderbank et al.
    1998, https://doi.org/10.1006/acha.1997.0238.
    """

    def __init__(self, exact: bool = False) -> None:
        """`exact`: whether values lie on the grid of exact mode, and stay there."""
        self.exact = exact

    def _split(self, a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(sum, difference) of neighbours."""
        if not self.exact:
            return (a + b) * math.sqrt(0.5), (a - b) * math.sqrt(0.5)
        d = a - b
        return b + _halved(d), d

    def _join(self, s: tf.Tensor, d: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Neighbours of (sum, difference)."""
        if not self.exact:
            return (s + d) * math.sqrt(0.5), (s - d) * math.sqrt(0.5)
        b = s - _halved(d)
        return b + d, b

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """x -> (y, aux)."""

        def transform(half: tf.Tensor) -> tf.Tensor:
            _require_even(half, "Haar")
            if self.exact:
                require_wide(half)
            rows = self._split(half[:, :, ::2], half[:, :, 1::2])  # of each row's neighbours
            low, high = (self._split(part[:, ::2], part[:, 1::2]) for part in rows)
            return tf.concat([low[0], high[0], low[1], high[1]], axis=-1)

        y = tf.nest.map_structure(transform, x)
        count = count_past_exact_range(*tf.nest.flatten(y)) if self.exact else None
        return y, _aux(count)

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> x."""

        def restore(half: tf.Tensor) -> tf.Tensor:
            _require_four(half, "Haar")
            low_low, high_low, low_high, high_high = tf.split(half, 4, axis=-1)
            low = _interleaved(*self._join(low_low, low_high), axis=1)
            high = _interleaved(*self._join(high_low, high_high), axis=1)
            return _interleaved(*self._join(low, high), axis=2)

        return tf.nest.map_structure(restore, y)


@tf.custom_gradient
def _halved(d: tf.Tensor) -> tuple[tf.Tensor, object]:
    """d / 2, rounded down to the grid; the gradient is that of d / 2."""
    return tf.floor(d * (0.5 / GRID_STEP)) * GRID_STEP, lambda upstream: upstream * 0.5


def _interleaved(first: tf.Tensor, second: tf.Tensor, axis: int) -> tf.Tensor:
    """first[0], second[0], first[1], ... along an axis."""
    shape = tf.shape(first)
    shape = tf.tensor_scatter_nd_update(shape, [[axis]], [2 * shape[axis]])
    joined = tf.reshape(tf.stack([first, second], axis=axis + 1), shape)
    static = first.shape.as_list()
    static[axis] = None if static[axis] is None else 2 * static[axis]
    return tf.ensure_shape(joined, static)


class Pad(Coupling):
    """Zero channels behind the others: (N, H, W, C) -> (N, H, W, C + channels).

    Its inverse takes them off again: it restores what `forward` was given, but not every y has
    an x. What comes behind may use the room.
    """

    is_onto = False

    def __init__(self, channels: int) -> None:
        """`channels`: how many are added to each tensor.

        Raises:
          ValueError: fewer than 1, or no integer.
        """
        if not isinstance(channels, int) or channels < 1:
            raise ValueError(f"channels is {channels!r}, but must be an integer of 1 or more")
        self.channels = channels

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """x -> (y, aux)."""

        def pad(half: tf.Tensor) -> tf.Tensor:
            return tf.pad(half, [[0, 0]] * (half.shape.rank - 1) + [[0, self.channels]])

        return tf.nest.map_structure(pad, x), _aux()

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> x."""
        return tf.nest.map_structure(lambda half: half[..., : -self.channels], y)

    def backward(self, params: Nest, y: Nest, dy: Nest, daux: Nest = ()) -> tuple[Nest, Nest, Nest]:
        """(x, dx, params' gradient)."""
        return self.inverse(params, after(dy, y)), self.inverse(params, dy), params


def _volumes_inverted(aux: Nest) -> Nest:
    """A nest like aux, with every LogDeterminant negated."""
    if isinstance(aux, LogDeterminant):
        return LogDeterminant(-aux.value)
    if isinstance(aux, dict):
        return {key: _volumes_inverted(part) for key, part in aux.items()}
    if isinstance(aux, list | tuple) and not isinstance(aux, Term):
        return tuple(_volumes_inverted(part) for part in aux)
    return aux


class Inverse(Coupling):
    """A coupling the other way round: upsampling, of one that downsamples.

    Its aux is the coupling's own, of running that on the result, with the LogDeterminant negated.
    """

    def __init__(self, coupling: Coupling) -> None:
        """`coupling`: one that maps onto all that it may be given back.

        Raises:
          ValueError: it is, or has in it, Pad, whose inverse forgets.
        """
        if not coupling.is_onto:
            raise ValueError(
                f"the inverse of {type(coupling).__name__} forgets the channels of Pad, and has no "
                "inverse itself: leave Pad out of it"
            )
        self.coupling = coupling

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """x -> (y, aux)."""
        y = self.coupling.inverse(params, x)
        return y, _volumes_inverted(self.coupling.forward(params, y)[1])

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> x."""
        return self.coupling.forward(params, y)[0]
