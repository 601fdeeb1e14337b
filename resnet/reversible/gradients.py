"""Vector-Jacobian products and recomputation of pure functions.

Throughout this package a *pure function* is `function(params, x) -> (y, aux)`:
`params` and `x` are nests of tensors, `y` a nest of differentiable tensors and
`aux` a nest of tensors that take no part in differentiation, such as batch
statistics. It reads no variables and has no side effects, so running it again
repeats nothing but its arithmetic.
"""

import tensorflow as tf

from resnet.reversible.ordering import after


def value_and_gradient(function, params, x, upstream):
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


def recompute(function):
    """Wraps a pure function so that backprop keeps only its inputs.

    The backward pass runs the function again, once the gradient has arrived
    (Chen et al. 2016, https://arxiv.org/abs/1604.06174).

    Args:
      function: pure function.

    Returns:
      A pure function with the same values and gradients.
    """

    def recomputed(params, x):
        flat_params, flat_x = tf.nest.flatten(params), tf.nest.flatten(x)
        structure = {}

        @tf.custom_gradient
        def run(*flat):
            x_in = tf.nest.pack_sequence_as(x, flat[: len(flat_x)])
            params_in = tf.nest.pack_sequence_as(params, flat[len(flat_x) :])
            y, aux = function(params_in, x_in)
            structure["y"], structure["aux"] = y, aux
            num_y = len(tf.nest.flatten(y))

            def gradient(*upstream):
                upstream = tf.nest.pack_sequence_as(y, upstream[:num_y])
                _, dx, dparams = value_and_gradient(
                    function, params_in, after(upstream, x_in), upstream
                )
                return tf.nest.flatten(dx) + tf.nest.flatten(dparams)

            return tf.nest.flatten(y) + tf.nest.flatten(aux), gradient

        outputs = run(*flat_x, *flat_params)
        num_y = len(tf.nest.flatten(structure["y"]))
        y = tf.nest.pack_sequence_as(structure["y"], outputs[:num_y])
        return y, tf.nest.pack_sequence_as(structure["aux"], outputs[num_y:])

    return recomputed
