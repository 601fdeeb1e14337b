"""Two halves as one tensor, inside of a reversible sequence."""

from collections.abc import Sequence

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.nest import Nest
from resnet.reversible.ordering import after


class Join(Coupling):
    """The pair (x1, x2) side by side, as the last of a sequence's couplings.

    What a sequence keeps for its backward pass is then the one tensor that layers behind it read,
    and mostly keep as well, rather than two halves beside it.
    """

    def __init__(self, axis: int, sizes: Sequence[int] | None = None) -> None:
        """Along `axis`; `sizes` of x1 and x2 there, if they differ."""
        self.axis, self.sizes = axis, sizes

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """(x1, x2) -> (y, aux)."""
        return tf.concat(x, axis=self.axis), ()

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> (x1, x2)."""
        return tuple(tf.split(y, self.sizes or 2, axis=self.axis))

    def backward(self, params: Nest, y: Nest, dy: Nest, daux: Nest = ()) -> tuple[Nest, Nest, Nest]:
        """(x, dx, params' gradient): the gradient is split as the values are."""
        return self.inverse(params, after(dy, y)), self.inverse(params, dy), params
