"""The rational-quadratic spline coupling: a curve for each value, in place of a line."""

from typing import NamedTuple

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.gradients import PureFunction
from resnet.reversible.log_determinant import LogDeterminant, sum_per_image
from resnet.reversible.nest import Nest, Pair

LEAST_SHARE = 1e-3  # of a bin's width and height, over the mean
LEAST_SLOPE = 1e-3


class _Bins(NamedTuple):
    """The bin of each value: where it begins, its size, and the slopes at its ends."""

    x: tf.Tensor
    width: tf.Tensor
    y: tf.Tensor
    height: tf.Tensor
    slope: tf.Tensor
    next_slope: tf.Tensor


class SplineCoupling(Coupling):
    """y1 = s(x1; F(x2)), y2 = s(x2; G(y1)), s a monotone curve of rational-quadratic pieces.

    Within [-bound, bound] s has `num_bins` pieces, outside it is the identity. F and G return,
    for each value that they act on, 3 num_bins - 1 numbers side by side on the last axis: what
    the pieces' widths, heights and inner slopes are made of; of zeros, s is the identity.
    Parameters are a pair (of F, of G); aux is a triple as the additive coupling's, and behind it
    the LogDeterminant.

    Source: Durkan et al. 2019, https://arxiv.org/abs/1906.04032.
    """

    def __init__(
        self, f: PureFunction, g: PureFunction, num_bins: int = 8, bound: float = 3.0
    ) -> None:
        """Couples pure functions F and G; see the class."""
        self.f, self.g, self.num_bins, self.bound = f, g, num_bins, bound

    @property
    def numbers_per_value(self) -> int:
        """How many numbers F and G return for each value."""
        return 3 * self.num_bins - 1

    def forward(self, params: Nest, x: Pair) -> tuple[Pair, Nest]:
        """(x1, x2) -> (y1, y2), and aux."""
        x1, x2 = x
        params_f, params_g = params
        numbers, aux_f = self.f(params_f, x2)
        y1, log_f = self._curve(x1, numbers)
        numbers, aux_g = self.g(params_g, y1)
        y2, log_g = self._curve(x2, numbers)
        log = LogDeterminant(sum_per_image(log_f) + sum_per_image(log_g))
        return (y1, y2), (aux_f, aux_g, tf.constant(0), log)

    def inverse(self, params: Nest, y: Pair) -> Pair:
        """(y1, y2) -> (x1, x2)."""
        y1, y2 = y
        params_f, params_g = params
        x2 = self._curve_back(y2, self.g(params_g, y1)[0])
        x1 = self._curve_back(y1, self.f(params_f, x2)[0])
        return x1, x2

    def _curve(self, x: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(s(x), log s'(x)), each like x."""
        bins = self._bins(x, numbers, of_y=False)
        share = (tf.clip_by_value(x, -self.bound, self.bound) - bins.x) / bins.width
        rest, slope = share * (1 - share), bins.height / bins.width
        bottom = slope + (bins.next_slope + bins.slope - 2 * slope) * rest
        y = bins.y + bins.height * (slope * share**2 + bins.slope * rest) / bottom
        ends = bins.next_slope * share**2 + 2 * slope * rest + bins.slope * (1 - share) ** 2
        log = 2 * tf.math.log(slope) + tf.math.log(ends) - 2 * tf.math.log(bottom)
        is_inside = tf.abs(x) < self.bound
        return tf.where(is_inside, y, x), tf.where(is_inside, log, tf.zeros_like(x))

    def _curve_back(self, y: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """x of s(x): the root of a quadratic equation."""
        bins = self._bins(y, numbers, of_y=True)
        offset = tf.clip_by_value(y, -self.bound, self.bound) - bins.y
        slope = bins.height / bins.width
        bend = offset * (bins.next_slope + bins.slope - 2 * slope)
        a = bins.height * (slope - bins.slope) + bend
        b = bins.height * bins.slope - bend
        c = -slope * offset
        share = 2 * c / (-b - tf.sqrt(tf.maximum(b**2 - 4 * a * c, 0)))
        return tf.where(tf.abs(y) < self.bound, bins.x + share * bins.width, y)

    def _bins(self, values: tf.Tensor, numbers: tf.Tensor, of_y: bool) -> _Bins:
        """The bins that values lie in: of y, or of x."""
        count = self.num_bins
        shape = tf.concat([tf.shape(values), [self.numbers_per_value]], 0)
        widths, heights, slopes = tf.split(
            tf.reshape(numbers, shape), [count, count, count - 1], -1
        )
        widths, heights = (self._sizes(part) for part in (widths, heights))
        xs, ys = (self._starts(part) for part in (widths, heights))
        # softplus of what is added is 1 - LEAST_SLOPE: of zeros, every slope is 1.
        one = tf.math.log(tf.math.expm1(tf.constant(1.0 - LEAST_SLOPE, values.dtype)))
        slopes = LEAST_SLOPE + tf.math.softplus(slopes + one)
        ends = tf.ones_like(slopes[..., :1])
        slopes, next_slopes = (tf.concat(parts, -1) for parts in ([ends, slopes], [slopes, ends]))
        starts = ys if of_y else xs
        places = tf.reduce_sum(tf.cast(values[..., None] >= starts[..., 1:], tf.int32), -1)
        chosen = tf.one_hot(places, count, dtype=values.dtype)
        parts = (xs, widths, ys, heights, slopes, next_slopes)
        return _Bins(*(tf.reduce_sum(part * chosen, -1) for part in parts))

    def _sizes(self, numbers: tf.Tensor) -> tf.Tensor:
        """Of bins that fill [-bound, bound]."""
        shares = LEAST_SHARE + (1 - LEAST_SHARE * self.num_bins) * tf.nn.softmax(numbers)
        return 2 * self.bound * shares

    def _starts(self, sizes: tf.Tensor) -> tf.Tensor:
        return tf.cumsum(sizes, axis=-1, exclusive=True) - self.bound
