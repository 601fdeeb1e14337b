"""What a coupling is, and a backward pass that needs nothing but its inverse."""

from resnet.reversible.gradients import value_and_gradient
from resnet.reversible.nest import Nest
from resnet.reversible.ordering import after


class Coupling:
    """An invertible map of a pair of tensors x = (x1, x2), with parameters.

    Subclass it with `forward` and `inverse`, both pure functions of tensors, and
    `run_sequence` trains it without storing its input:

        class Scale(Coupling):
            def forward(self, params, x):
                return tuple(half * params for half in x), ()

            def inverse(self, params, y):
                return tuple(half / params for half in y)

    A subclass that can invert and differentiate at once may override `backward`:
    this one runs the map once to invert it and once more to differentiate it.
    """

    is_invertible = True
    is_onto = True  # whether every y has an x, so that `inverse` has an inverse, too

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """x -> (y, aux): the pair y, and a nest of which only each `Term` has a gradient."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define it")

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> x."""
        raise NotImplementedError(
            f"{type(self).__name__} has no inverse: define it, or train it with another "
            'backprop than "reversible"'
        )

    def backward(self, params: Nest, y: Nest, dy: Nest, daux: Nest = ()) -> tuple[Nest, Nest, Nest]:
        """Inverts and differentiates.

        Args:
          params: nest of tensors.
          y: the output (y1, y2).
          dy: gradient of the loss with respect to it.
          daux: nest like aux, whose terms are gradients with respect to its terms.

        Returns:
          (x, dx, dparams): the input, its gradient, the parameters' gradient.
        """
        x = self.inverse(params, after(dy, y))
        _, dx, dparams = value_and_gradient(self.forward, params, x, dy, daux)
        # Until the parameters' gradients have been computed, activations live.
        return after((dx, dparams), x), dx, dparams
