"""The momentum coupling: a residual network with a velocity, which inverts for any f."""

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.gradients import PureFunction, named, require_shape, value_and_gradient
from resnet.reversible.nest import Nest, Pair
from resnet.reversible.ordering import after


class MomentumCoupling(Coupling):
    """A pair (x, v) of equal shapes, state and velocity:

        v' = m v + (1 - m) F(x)        x = x' - v'
        x' = x + v'                    v = (v' - (1 - m) F(x)) / m

    With v = 0 at first and m = 0 it would be x' = x + F(x). Each inverse divides by m: what
    rounding has lost grows by 1 / m a unit, so that the input of n units is restored to some
    m ** -n times the precision of the type. Parameters are F's, and aux is F's.

    Source: Sander et al. 2021, https://arxiv.org/abs/2102.07870.
    """

    def __init__(self, f: PureFunction, momentum: float = 0.9) -> None:
        """`f`: pure function that keeps the shape.

        Raises:
          ValueError: momentum is not in (0, 1).
        """
        if not 0 < momentum < 1:
            raise ValueError(
                f"momentum is {momentum}, but must be in (0, 1): the inverse divides by it"
            )
        self.f, self.momentum = named("f", f), momentum

    def forward(self, params: Nest, x: Pair) -> tuple[Pair, Nest]:
        """(x, v) -> (x', v'), and aux."""
        x, v = x
        value, aux = self.f(params, tf.identity(x))
        require_shape(value, x, "F returns")
        v = self.momentum * v + (1 - self.momentum) * value
        return (x + v, v), aux

    def inverse(self, params: Nest, y: Pair) -> Pair:
        """(x', v') -> (x, v)."""
        x, v = y
        x = x - v
        return x, (v - (1 - self.momentum) * self.f(params, x)[0]) / self.momentum

    def backward(self, params: Nest, y: Pair, dy: Pair, daux: Nest = ()) -> tuple[Pair, Pair, Nest]:
        """Inverts and differentiates; F runs once."""
        (x, v), (dx, dv) = after(dy, y), dy
        x, dv, rest = x - v, dx + dv, 1 - self.momentum
        value, dx_of_f, dparams = value_and_gradient(self.f, params, x, rest * dv, daux)
        dx = dx + dx_of_f
        x, v = after((dx, dparams), (x, (v - rest * value) / self.momentum))
        return (x, v), (dx, self.momentum * dv), dparams
