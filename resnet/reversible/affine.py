"""The affine coupling, which scales as well as shifts."""

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.gradients import PureFunction, named, require_shape, terms_of, vjp
from resnet.reversible.log_determinant import LogDeterminant, sum_per_image
from resnet.reversible.nest import Nest, Pair
from resnet.reversible.ordering import after

SIGMOID_OFFSET = 2.0  # scales begin near 0.88, the identity's neighbourhood
TANH_LIMIT = 2.0  # scales lie within e to the power of +-2


def _bounded(s: tf.Tensor) -> tf.Tensor:
    return TANH_LIMIT * tf.tanh(s / TANH_LIMIT)


# Name -> (a, log a), functions of s.
SCALES = {
    "exp": (tf.exp, tf.identity),
    "tanh": (lambda s: tf.exp(_bounded(s)), lambda s: _bounded(s)),
    "sigmoid": (
        lambda s: tf.sigmoid(s + SIGMOID_OFFSET),
        lambda s: tf.math.log_sigmoid(s + SIGMOID_OFFSET),
    ),
}


class AffineCoupling(Coupling):
    """The affine coupling of RealNVP.

        y1 = x1 a(s) + t,    (s, t) = F(x2)        x2 = (y2 - t') / a(s')
        y2 = x2 a(s') + t',  (s', t') = G(y1)      x1 = (y1 - t) / a(s)

    a is exp, a sigmoid, or exp of 2 tanh(s / 2), which cannot overflow. F and G return s and t
    side by side on the channels' axis: twice the channels of x1 and of x2. Parameters are a pair
    (of F, of G); aux is a triple as the additive coupling's, and behind it, where it is asked
    for, the LogDeterminant, the sum of log a(s) and log a(s'). A product loses bits, so that no
    exact mode exists: the input is restored up to rounding.

    Sources: Dinh et al. 2017, https://arxiv.org/abs/1605.08803; the sigmoid: Kingma &
    Dhariwal 2018, https://arxiv.org/abs/1807.03039.
    """

    def __init__(
        self,
        f: PureFunction,
        g: PureFunction,
        scale: str = "exp",
        axis: int = -1,
        log_determinant: bool = False,
    ) -> None:
        """Couples pure functions F and G; see the class. `axis` is that of the channels.

        Raises:
          ValueError: `scale` is none of "exp", "tanh", "sigmoid".
        """
        if scale not in SCALES:
            raise ValueError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}")
        self.f, self.g = named("f", f), named("g", g)
        self._axis, self._has_determinant = axis, log_determinant
        self._scale, self._log_scale = SCALES[scale]

    def _scale_and_shift(
        self, function: PureFunction, params: Nest, x: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor, Nest], Nest]:
        """(a(s), t, sum of log a(s) per image, or ()) and aux of F or G."""
        value, aux = function(params, x)
        if value.shape[self._axis] is not None and value.shape[self._axis] % 2:
            raise ValueError(
                f"F or G returns {value.shape[self._axis]} channels, but scale and shift side by "
                "side are an even number: return twice the channels of the half that they act on"
            )
        s, t = tf.split(value, 2, axis=self._axis)
        total = sum_per_image(self._log_scale(s)) if self._has_determinant else ()
        return (self._scale(s), t, total), aux

    def forward(self, params: Nest, x: Pair) -> tuple[Pair, Nest]:
        """(x1, x2) -> (y1, y2), and aux."""
        x1, x2 = x
        params_f, params_g = params
        (a, t, log_f), aux_f = self._scale_and_shift(self.f, params_f, x2)
        require_shape(a, x1, "scale and shift of F have")
        y1 = x1 * a + t
        (a, t, log_g), aux_g = self._scale_and_shift(self.g, params_g, y1)
        require_shape(a, x2, "scale and shift of G have")
        log = (LogDeterminant(log_f + log_g),) if self._has_determinant else ()
        return (y1, x2 * a + t), (aux_f, aux_g, tf.constant(0), *log)

    def inverse(self, params: Nest, y: Pair) -> Pair:
        """(y1, y2) -> (x1, x2)."""
        y1, y2 = y
        params_f, params_g = params
        (a, t, _), _ = self._scale_and_shift(self.g, params_g, y1)
        x2 = (y2 - t) / a
        (a, t, _), _ = self._scale_and_shift(self.f, params_f, x2)
        return (y1 - t) / a, x2

    def backward(
        self, params: Nest, y: Pair, dy: Pair, daux: Nest = ((), ())
    ) -> tuple[Pair, Pair, Nest]:
        """Inverts and differentiates in one pass; F and G run once each."""
        (y1, y2), (d1, d2) = after(dy, y), dy
        params_f, params_g = params
        dlog = terms_of(daux[3:])
        x2, d2_through, dy1, dparams_g = self._back(self.g, params_g, y1, y2, d2, daux[1], dlog)
        d1 = d1 + dy1
        # G's weight gradients too: until they have run, G's activations live.
        x2, y1 = after((d1, dparams_g), (x2, y1))
        x1, d1, dx2, dparams_f = self._back(self.f, params_f, x2, y1, d1, daux[0], dlog)
        d2 = d2_through + dx2
        x1, x2 = after((d2, dparams_f), (x1, x2))
        return (x1, x2), (d1, d2), (dparams_f, dparams_g)

    def _back(
        self,
        function: PureFunction,
        params: Nest,
        other: tf.Tensor,
        y: tf.Tensor,
        dy: tf.Tensor,
        daux: Nest,
        dlog: list[tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, Nest]:
        """One half: y = x a(s) + t with (s, t) of `other`, and daux of the function's aux.

        `dlog` is the gradient with respect to the sum of log a(s), in a list if there is one.

        Returns:
          (x, its gradient, the gradient of `other` through the function, dparams).
        """

        def run(params: Nest, other: tf.Tensor) -> tuple[Nest, Nest]:
            (a, t, log), aux = self._scale_and_shift(function, params, other)
            return (a, t, [log] if dlog else []), aux

        (a, t, _), pull_back = vjp(run, params, other)
        x = (y - t) / a
        dother, dparams = pull_back((dy * x, dy, dlog), daux)
        return x, dy * a, dother, dparams
