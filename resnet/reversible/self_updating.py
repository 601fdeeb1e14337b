"""A coupling that updates its parameters as their gradient arrives, so that none is kept."""

from collections.abc import Callable

from resnet.reversible.coupling import Coupling
from resnet.reversible.gradients import terms_of
from resnet.reversible.nest import Nest
from resnet.reversible.ordering import after


class SelfUpdating(Coupling):
    """A coupling whose parameters are read where they are needed, and are updated in `backward`.

    To `run_sequence` it has none: its parameters are (), and the gradients of all units are
    never there at once. It runs inside of a tf.function, which orders reads and updates.
    """

    def __init__(
        self, coupling: Coupling, read: Callable[[], Nest], update: Callable[[Nest], Nest]
    ) -> None:
        """Wraps a coupling.

        Args:
          coupling: the coupling.
          read: () -> its parameters, as they are.
          update: (their gradient) -> operations that change them.
        """
        self.coupling, self._read, self._update = coupling, read, update
        self.is_invertible, self.is_onto = coupling.is_invertible, coupling.is_onto

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """x -> (y, aux)."""
        return self.coupling.forward(self._read(), x)

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> x."""
        return self.coupling.inverse(self._read(), y)

    def backward(self, params: Nest, y: Nest, dy: Nest, daux: Nest = ()) -> tuple[Nest, Nest, Nest]:
        """Inverts, differentiates and updates."""
        more = [daux] if terms_of(daux) else []
        x, dx, dparams = self.coupling.backward(self._read(), y, dy, *more)
        done = self._update(dparams)
        return after(done, x), after(done, dx), ()
