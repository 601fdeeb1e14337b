"""Vector-Jacobian products and recomputation of pure functions.

Throughout this package a *pure function* is `function(params, x) -> (y, aux)`:
`params` and `x` are nests of tensors, `y` a nest of differentiable tensors and
`aux` a nest of tensors that take no part in differentiation, such as batch
statistics, but for each `Term` in it: a summand of the loss. It reads no variables
and has no side effects, so running it again repeats nothing but its arithmetic.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from resnet.reversible.nest import Nest
from resnet.reversible.ordering import after

PureFunction = Callable[[Nest, Nest], tuple[Nest, Nest]]


class Term(NamedTuple):
    """What a function adds to the loss, beside its value: a part of aux that has a gradient.

    value: tensor of any shape and float type; () of a loss, (N,) of one per image.
    """

    value: tf.Tensor


def named(name: str, function: PureFunction) -> PureFunction:
    """A pure function whose operations' names begin so.

    Raises:
      TypeError, when it is called: the function returns something else than a pair.
    """

    def run(params: Nest, x: Nest) -> tuple[Nest, Nest]:
        with tf.name_scope(name):
            return checked_pair(function(params, x), name.upper())

    return run


def checked_pair(value: Nest, name: str) -> tuple[Nest, Nest]:
    """What a pure function returned.

    Raises:
      TypeError: it is no pair, or its aux None.
    """
    is_pair = isinstance(value, tuple | list) and len(value) == 2
    if not is_pair or value[1] is None:
        returned = "None as aux" if is_pair else type(value).__name__
        raise TypeError(
            f"{name} must return a pair (value, aux), and returned {returned}: without anything "
            "beside the value, return (value, ())"
        )
    return tuple(value)


def require_shape(value: tf.Tensor, like: tf.Tensor, what: str) -> None:
    """Checks what is added to a half, or scales it: broadcast, its gradient would be another's.

    Raises:
      ValueError: its shape, as far as it is known, is another than that of `like`; `what`
        begins the message.
    """
    shape = tf.TensorShape(getattr(value, "shape", ()))  # () of a number
    if not shape.is_compatible_with(like.shape):
        raise ValueError(
            f"{what} shape {tuple(shape)}, but the half that this acts on has "
            f"{tuple(like.shape)}: return that shape, as by tf.broadcast_to"
        )


def terms_in(aux: Nest) -> list[Term]:
    """All terms in a nest, in the order of tf.nest."""
    if isinstance(aux, Term):
        return [aux]
    if isinstance(aux, dict):
        aux = [aux[key] for key in sorted(aux)]
    return [t for part in aux for t in terms_in(part)] if isinstance(aux, list | tuple) else []


def terms_of(aux: Nest) -> list[tf.Tensor]:
    """The values of all terms in a nest, in the order of tf.nest."""
    return [term.value for term in terms_in(aux)]


def _terms_alone(aux: Nest) -> Nest:
    """A nest like aux, with None for all but its terms."""
    if isinstance(aux, dict):
        return {key: _terms_alone(part) for key, part in aux.items()}
    if isinstance(aux, list | tuple) and not isinstance(aux, Term):
        return tuple(_terms_alone(part) for part in aux)
    return aux if isinstance(aux, Term) else None


def value_and_gradient(
    function: PureFunction, params: Nest, x: Nest, upstream: Nest, daux: Nest = ()
) -> tuple[Nest, Nest, Nest]:
    """Runs a pure function once, forward and backward.

    Args:
      function: pure function (see the module's docstring).
      params: nest of float tensors.
      x: nest of float tensors.
      upstream: gradient of the loss with respect to y, a nest like y.
      daux: nest like aux, whose terms are gradients with respect to its terms; without
        any, aux takes no part.

    Returns:
      (y, dx, dparams): the value and the gradients, nests like y, x and params.
    """
    y, pull_back = vjp(function, params, x)
    return y, *pull_back(upstream, daux)


def vjp(
    function: PureFunction, params: Nest, x: Nest
) -> tuple[Nest, Callable[..., tuple[Nest, Nest]]]:
    """The value of a pure function, and what multiplies a gradient by its Jacobian.

    Args:
      function, params, x: as of `value_and_gradient`.

    Returns:
      (y, pull_back): `pull_back(upstream, daux=()) -> (dx, dparams)`, to be called once.
    """
    params, x = _distinct((params, x))
    with tf.GradientTape() as tape:
        tape.watch((params, x))
        y, aux = function(params, x)

    def pull_back(upstream: Nest, daux: Nest = ()) -> tuple[Nest, Nest]:
        dterms = terms_of(daux)
        return tape.gradient(
            (y, terms_of(aux)[: len(dterms)]),
            (x, params),
            output_gradients=(upstream, dterms),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    return y, pull_back


def _distinct(nest: Nest) -> Nest:
    """The nest, no tensor in two places, to each of which a tape would give all of its gradient."""
    seen: set[int] = set()

    def own(tensor: tf.Tensor) -> tf.Tensor:
        tensor = tf.identity(tensor) if id(tensor) in seen else tensor
        seen.add(id(tensor))
        return tensor

    return tf.nest.map_structure(own, nest)


def with_gradient(
    forward: PureFunction,
    backward: Callable[[Nest, Nest, Nest, Nest, Nest], tuple[Nest, Nest]],
    params: Nest,
    x: Nest,
) -> tuple[Nest, Nest]:
    """Runs a pure function whose gradient is computed by hand.

    Args:
      forward: pure function.
      backward: `backward(params, x, y, upstream, daux) -> (dx, dparams)`, nests like x and
        params, of the gradients with respect to y and to the terms in aux.
      params, x: what `forward` takes.

    Returns:
      (y, aux): what `forward` returns.

    Raises:
      TypeError, where the gradient is taken: `forward` reads variables.
    """
    found: dict[str, Nest] = {}
    scope, is_eager = tf.get_current_name_scope(), tf.executing_eagerly()

    @tf.custom_gradient
    def run(*flat: tf.Tensor) -> tuple[list[tf.Tensor], Callable[..., list[tf.Tensor]]]:
        x_in, params_in = tf.nest.pack_sequence_as((x, params), flat)
        # A tape outside would record what runs eagerly here, and keep its activations.
        shown = [tf.stop_gradient(tensor) for tensor in flat] if is_eager else flat
        x_shown, params_shown = tf.nest.pack_sequence_as((x, params), shown)
        found["y"], found["aux"] = forward(params_shown, x_shown)
        num_y = len(tf.nest.flatten(found["y"]))

        def gradient(
            *upstream: tf.Tensor, variables: Sequence[tf.Variable] = ()
        ) -> list[tf.Tensor]:
            if variables:
                names = ", ".join(sorted(variable.name for variable in variables))
                raise TypeError(
                    f"variables {names} are read by a function that is to be a pure one of "
                    "(params, x), and would have no gradient: pass them in its params"
                )
            y, aux = found["y"], found["aux"]
            dy = tf.nest.pack_sequence_as(y, upstream[:num_y])
            daux = _terms_alone(tf.nest.pack_sequence_as(aux, upstream[num_y:]))
            # Named as the forward pass is: a graph's names say where its tensors are made.
            with tf.name_scope(f"{scope}/backward/" if scope else "backward"):
                return tf.nest.flatten(backward(params_in, x_in, y, dy, daux))

        return tf.nest.flatten((found["y"], found["aux"])), gradient

    outputs = run(*tf.nest.flatten((x, params)))
    y, aux = tf.nest.pack_sequence_as((found["y"], found["aux"]), outputs)
    if is_eager:  # the y whose way back to x a tape outside knows, for second derivatives
        found["y"] = y
    return y, aux


def recompute(function: PureFunction) -> PureFunction:
    """Wraps a pure function so that backprop keeps only its inputs.

    The backward pass runs the function again, once the gradient has arrived
    (Chen et al. 2016, https://arxiv.org/abs/1604.06174).

    Args:
      function: pure function.

    Returns:
      A pure function with the same values and gradients.
    """

    def run_again(params: Nest, x: Nest, _: Nest, dy: Nest, daux: Nest) -> tuple[Nest, Nest]:
        _, dx, dparams = value_and_gradient(function, params, after(dy, x), dy, daux)
        return dx, dparams

    return lambda params, x: with_gradient(function, run_again, params, x)
