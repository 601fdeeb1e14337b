"""Tensors beside the stream, which F and G of every unit read: masks, or what is attended to."""

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.gradients import terms_of
from resnet.reversible.nest import Nest


class WithContext(Coupling):
    """A coupling of a pair (F, G) that read a context c too.

        (x, c) -> (y, c)

    F's and G's parameters become pairs (their own, c). c passes through as it is, and its
    gradient is summed over F, G and the units.
    """

    def __init__(self, unit: Coupling) -> None:
        """Gives a coupling a context; its parameters must be a pair (of F, of G)."""
        self.unit, self.is_onto = unit, unit.is_onto

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """(x, c) -> (y, c), and the coupling's aux."""
        x, context = x
        y, aux = self.unit.forward(_with(params, context), x)
        return (y, context), aux

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """(y, c) -> (x, c)."""
        y, context = y
        return self.unit.inverse(_with(params, context), y), context

    def backward(
        self, params: Nest, y: Nest, dy: Nest, daux: Nest = ((), ())
    ) -> tuple[Nest, Nest, Nest]:
        """As `Coupling.backward`."""
        (y, context), (dy, dcontext) = y, dy
        terms = [daux] if terms_of(daux) else []
        x, dx, found = self.unit.backward(_with(params, context), y, dy, *terms)
        dparams = tuple(own for own, _ in found)
        for _, more in found:
            dcontext = tf.nest.map_structure(tf.add, dcontext, more)
        return (x, context), (dx, dcontext), dparams


def _with(params: Nest, context: Nest) -> Nest:
    return tuple((own, context) for own in params)
