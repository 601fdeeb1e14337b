"""Couplings of couplings: several as one, one of a pair on a single tensor, one beside others."""

from collections.abc import Sequence

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.gradients import terms_of
from resnet.reversible.nest import Nest


class Chain(Coupling):
    """Several couplings as one, so that a loop can repeat them; parameters and aux are lists."""

    def __init__(self, couplings: Sequence[Coupling]) -> None:
        """`couplings`: first to last."""
        self.couplings = list(couplings)
        self.is_onto = all(coupling.is_onto for coupling in self.couplings)

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """x -> (y, aux)."""
        found = []
        for coupling, own in zip(self.couplings, params, strict=True):
            x, aux = coupling.forward(own, x)
            found.append(aux)
        return x, found

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> x."""
        for coupling, own in zip(self.couplings[::-1], params[::-1], strict=True):
            y = coupling.inverse(own, y)
        return y

    def backward(self, params: Nest, y: Nest, dy: Nest, daux: Nest = ()) -> tuple[Nest, Nest, Nest]:
        """As `Coupling.backward`, one coupling after the other."""
        dparams = []
        parts = daux or [()] * len(self.couplings)
        for coupling, own, part in reversed([*zip(self.couplings, params, parts, strict=True)]):
            y, dy, down = coupling.backward(own, y, dy, *([part] if terms_of(part) else []))
            dparams.append(down)
        return y, dy, dparams[::-1]


class Halves(Coupling):
    """A coupling of a pair, on a single tensor whose channels are split in two."""

    def __init__(self, coupling: Coupling, axis: int = -1) -> None:
        """`coupling`: of a pair; `axis`: that of the channels."""
        self.coupling, self._axis, self.is_onto = coupling, axis, coupling.is_onto

    def _split(self, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        channels = x.shape[self._axis]
        if channels is None or channels < 2:
            raise ValueError(
                f"a tensor of shape {tuple(x.shape)} has {channels} channels: too few to be split "
                "in two"
            )
        return tuple(tf.split(x, [channels // 2, channels - channels // 2], axis=self._axis))

    def _join(self, pair: Nest) -> tf.Tensor:
        return tf.concat(pair, axis=self._axis)

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """x -> (y, aux)."""
        y, aux = self.coupling.forward(params, self._split(x))
        return self._join(y), aux

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """y -> x."""
        return self._join(self.coupling.inverse(params, self._split(y)))

    def backward(self, params: Nest, y: Nest, dy: Nest, daux: Nest = ()) -> tuple[Nest, Nest, Nest]:
        """As the coupling's."""
        more = [daux] if terms_of(daux) else []
        x, dx, dparams = self.coupling.backward(params, self._split(y), self._split(dy), *more)
        return self._join(x), self._join(dx), dparams


class First(Coupling):
    """A coupling of the first of several: (x, rest) -> (y, rest)."""

    def __init__(self, coupling: Coupling) -> None:
        """`coupling`: of x."""
        self.coupling, self.is_onto = coupling, coupling.is_onto

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """(x, rest) -> ((y, rest), aux)."""
        x, rest = x
        y, aux = self.coupling.forward(params, x)
        return (y, rest), aux

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """(y, rest) -> (x, rest)."""
        y, rest = y
        return self.coupling.inverse(params, y), rest

    def backward(self, params: Nest, y: Nest, dy: Nest, daux: Nest = ()) -> tuple[Nest, Nest, Nest]:
        """As the coupling's."""
        (y, rest), (dy, drest) = y, dy
        more = [daux] if terms_of(daux) else []
        x, dx, dparams = self.coupling.backward(params, y, dy, *more)
        return (x, rest), (dx, drest), dparams
