"""Additive couplings: invertible maps of a pair (x1, x2), built from any F and G.

F and G are pure functions `(params, x) -> (value, aux)` (see
`resnet.reversible.gradients`). With `exact`, what they return is rounded to a
fixed grid before it is added, and inputs on the grid are restored to the bit,
as long as no value leaves the exact range; those that do are counted.

F and G see their input through an identity: where they use it more than once, its
gradients are summed there first, in the order that `backward` has too, so that the
framework's own backprop gives the same bits.

A coupling's aux is a triple: that of F, that of G, and how many of (y1, y2) have
values past the exact range (int32; 0 if not exact).
"""

from collections.abc import Callable

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.exact import (
    count_past_exact_range,
    differentiated_once,
    grid_values,
    round_to_grid,
)
from resnet.reversible.gradients import (
    PureFunction,
    checked_pair,
    named,
    require_shape,
    terms_of,
    value_and_gradient,
    vjp,
)
from resnet.reversible.nest import Nest, Pair
from resnet.reversible.ordering import after


def _rounding(
    exact: bool,
) -> tuple[Callable[[tf.Tensor], tf.Tensor], Callable[..., tf.Tensor]]:
    """(rounding of residual values, count of values past the range)."""
    if exact:
        return round_to_grid, count_past_exact_range
    return (lambda value: value), (lambda *_: tf.constant(0))


class AdditiveCoupling(Coupling):
    """The additive coupling of NICE and RevNet; F and G keep the shape.

        y1 = x1 + F(x2)        x2 = y2 - G(y1)
        y2 = x2 + G(y1)        x1 = y1 - F(x2)

    Parameters are a pair (of F, of G).

    Sources: Dinh et al. 2014, https://arxiv.org/abs/1410.8516; Gomez et al.
    2017, https://arxiv.org/abs/1707.04585.
    """

    def __init__(self, f: PureFunction, g: PureFunction, exact: bool = False) -> None:
        self.f, self.g = named("f", f), named("g", g)
        self.round, self.count = _rounding(exact)
        # Where x is restored to be differentiated at, rounding must hold nothing.
        self.round_again = grid_values if exact else self.round
        self.once = differentiated_once if exact else lambda *y: y

    def forward(self, params: Nest, x: Pair) -> tuple[Pair, Nest]:
        """(x1, x2) -> (y1, y2), and aux."""
        x1, x2 = x
        params_f, params_g = params
        f, aux_f = self.f(params_f, tf.identity(x2))
        require_shape(f, x1, "F returns")
        y1 = x1 + self.round(f)
        g, aux_g = self.g(params_g, tf.identity(y1))
        require_shape(g, x2, "G returns")
        y2 = x2 + self.round(g)
        return (y1, y2), (aux_f, aux_g, self.count(y1, y2))

    def inverse(self, params: Nest, y: Pair) -> Pair:
        """(y1, y2) -> (x1, x2)."""
        y1, y2 = y
        params_f, params_g = params
        x2 = y2 - self.round(self.g(params_g, y1)[0])
        x1 = y1 - self.round(self.f(params_f, x2)[0])
        return x1, x2

    def backward(
        self, params: Nest, y: Pair, dy: Pair, daux: Nest = ((), ())
    ) -> tuple[Pair, Pair, Nest]:
        """Inverts and differentiates in one pass; F and G run once each.

            g, dG/dy1 at y1 with upstream dy2:   x2 = y2 - g,  d1 = dy1 + dG/dy1
            f, dF/dx2 at x2 with upstream d1:    x1 = y1 - f,  d2 = dy2 + dF/dx2

        Args:
          params: pair (of F, of G).
          y: the coupling's output (y1, y2).
          dy: gradient of the loss with respect to it.
          daux: nest like aux, whose terms are gradients with respect to its terms.

        Returns:
          (x, dx, dparams): the input, its gradient, the parameters' gradient.
        """
        (y1, y2), (d1, d2) = self.once(*after(dy, y)), dy
        params_f, params_g = params
        # What F and G return is subtracted first, so that it takes no memory any more.
        g, back_of_g = vjp(self.g, params_g, y1)
        x2 = y2 - self.round_again(g)
        dy1_of_g, dparams_g = back_of_g(after(x2, d2), daux[1])
        d1 = tf.add(d1, dy1_of_g, "gradient")
        # G's weight gradients too: until they have run, G's activations live.
        x2, y1 = after((d1, dparams_g), (x2, y1))
        f, back_of_f = vjp(self.f, params_f, x2)
        x1 = y1 - self.round_again(f)
        dx2_of_f, dparams_f = back_of_f(after(x1, d1), daux[0])
        d2 = tf.add(d2, dx2_of_f, "gradient")
        x1, x2 = after((d2, dparams_f), (x1, x2))
        return (x1, x2), (d1, d2), (dparams_f, dparams_g)


def _value_of_shortcut(name: str, returned: Nest) -> tf.Tensor:
    """The value of what a transition's shortcut returned.

    Raises:
      TypeError: it is no pair.
      ValueError: a Term in its aux, which would be lost.
    """
    value, aux = checked_pair(returned, name)
    if terms_of(aux):
        raise ValueError(f"{name} adds a Term to the loss, which only F and G can: move it there")
    return value


class AdditiveTransition:
    """An additive coupling around shortcuts, which may change the shape.

        y1 = s1(x1) + F(x2)
        y2 = s2(x2) + G(y1)

    It has no inverse, so its backward pass needs its input. Parameters are a
    tuple (of F, of G, of s1, of s2); shortcuts are pure functions too, of whose aux
    nothing is kept.
    """

    is_invertible = is_onto = False

    def __init__(
        self,
        f: PureFunction,
        g: PureFunction,
        shortcut1: PureFunction,
        shortcut2: PureFunction,
        exact: bool = False,
    ) -> None:
        self.f, self.g = named("f", f), named("g", g)
        self.shortcut1, self.shortcut2 = shortcut1, shortcut2
        self.round, self.count = _rounding(exact)

    def forward(self, params: Nest, x: Pair) -> tuple[Pair, Nest]:
        """(x1, x2) -> (y1, y2), and aux."""
        x1, x2 = x
        params_f, params_g, params_s1, params_s2 = params
        f, aux_f = self.f(params_f, tf.identity(x2))
        s1 = _value_of_shortcut("shortcut1", self.shortcut1(params_s1, x1))
        require_shape(f, s1, "F returns")
        y1 = self.round(s1 + f)
        g, aux_g = self.g(params_g, tf.identity(y1))
        s2 = _value_of_shortcut("shortcut2", self.shortcut2(params_s2, x2))
        require_shape(g, s2, "G returns")
        y2 = self.round(s2 + g)
        return (y1, y2), (aux_f, aux_g, self.count(y1, y2))

    def backward(
        self, params: Nest, x: Pair, y: Pair, dy: Pair, daux: Nest = ((), ())
    ) -> tuple[Pair, Nest]:
        """Differentiates, given both ends; the values of F and G are not needed.

        Args:
          params: (of F, of G, of s1, of s2).
          x: the input (x1, x2), kept from the forward pass.
          y: the output (y1, y2), as the units behind it restored it.
          dy: gradient of the loss with respect to y.
          daux: nest like aux, whose terms are gradients with respect to its terms.

        Returns:
          (dx, dparams).
        """
        d1, d2 = dy
        params_f, params_g, params_s1, params_s2 = params
        y1 = after(dy, y[0])
        _, dy1_of_g, dparams_g = value_and_gradient(self.g, params_g, y1, d2, daux[1])
        d1 = tf.add(d1, dy1_of_g, "gradient")
        x1, x2 = after((d1, dparams_g), x)
        _, dx2_of_f, dparams_f = value_and_gradient(self.f, params_f, x2, d1, daux[0])
        _, dx1, dparams_s1 = value_and_gradient(self.shortcut1, params_s1, x1, d1)
        _, dx2, dparams_s2 = value_and_gradient(self.shortcut2, params_s2, x2, d2)
        dparams = (dparams_f, dparams_g, dparams_s1, dparams_s2)
        return (dx1, dx2 + dx2_of_f), dparams
