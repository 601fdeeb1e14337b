"""Vector-Jacobian products and recomputation of pure functions.

Throughout this package a *pure function* is `function(params, x) -> (y, aux)`:
`params` and `x` are nests of tensors, `y` a nest of differentiable tensors and
`aux` a nest of tensors that take no part in differentiation, such as batch
statistics. It reads no variables and has no side effects, so running it again
repeats nothing but its arithmetic.
"""

from collections.abc import Callable

import tensorflow as tf

from resnet.reversible.nest import Nest
from resnet.reversible.ordering import after

PureFunction = Callable[[Nest, Nest], tuple[Nest, Nest]]


def value_and_gradient(
    function: PureFunction, params: Nest, x: Nest, upstream: Nest
) -> tuple[Nest, Nest, Nest]:
    """Runs a pure function once, forward and backward.

    Args:
      function: pure function (see the module's docstring).
      params: nest of float tensors.
      x: nest of float tensors.
      upstream: gradient of the loss with respect to y, a nest like y.

    Returns:
      (y, dx, dparams): the value and the gradients, nests like y, x and params.
    """
    with tf.GradientTape() as tape:
        tape.watch((params, x))
        y, _ = function(params, x)
    dx, dparams = tape.gradient(
        y,
        (x, params),
        output_gradients=upstream,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return y, dx, dparams


def with_gradient(
    forward: PureFunction,
    backward: Callable[[Nest, Nest, Nest, Nest], tuple[Nest, Nest]],
    params: Nest,
    x: Nest,
) -> tuple[Nest, Nest]:
    """Runs a pure function whose gradient is computed by hand.

    Args:
      forward: pure function.
      backward: `backward(params, x, y, upstream) -> (dx, dparams)`, nests like x and params, of
        the gradient with respect to y.
      params, x: what `forward` takes.

    Returns:
      (y, aux): what `forward` returns.
    """
    structure: dict[str, Nest] = {}

    @tf.custom_gradient
    def run(*flat: tf.Tensor) -> tuple[list[tf.Tensor], Callable[..., list[tf.Tensor]]]:
        x_in, params_in = tf.nest.pack_sequence_as((x, params), flat)
        y, aux = forward(params_in, x_in)
        structure["y"], structure["aux"] = y, aux
        num_y = len(tf.nest.flatten(y))

        def gradient(*upstream: tf.Tensor) -> list[tf.Tensor]:
            upstream = tf.nest.pack_sequence_as(y, upstream[:num_y])
            return tf.nest.flatten(backward(params_in, x_in, y, upstream))

        return tf.nest.flatten((y, aux)), gradient

    outputs = run(*tf.nest.flatten((x, params)))
    return tf.nest.pack_sequence_as((structure["y"], structure["aux"]), outputs)


def recompute(function: PureFunction) -> PureFunction:
    """Wraps a pure function so that backprop keeps only its inputs.

    The backward pass runs the function again, once the gradient has arrived
    (Chen et al. 2016, https://arxiv.org/abs/1604.06174).

    Args:
      function: pure function.

    Returns:
      A pure function with the same values and gradients.
    """

    def run_again(params: Nest, x: Nest, _: Nest, upstream: Nest) -> tuple[Nest, Nest]:
        _, dx, dparams = value_and_gradient(function, params, after(upstream, x), upstream)
        return dx, dparams

    return lambda params, x: with_gradient(function, run_again, params, x)
