"""How far reversible gradients are from stored ones, on a batch of a running training."""

import math

import tensorflow as tf


class GradientCheck:
    """Compares a model's gradients to those of stored backprop on the same weights.

    It moves nothing. It takes stored backprop's memory while it runs, for the images of
    one pass on each replica.
    """

    def __init__(self, steps):
        """`steps`: the training's Steps, whose replicas and compilation it shares."""
        self._steps = steps
        self._stored = steps.model.with_backprop("stored")
        self._check = tf.function(self._check_all, autograph=False)
        self._check_one = self._check_replica
        if steps.jit:
            self._check_one = tf.function(self._check_replica, autograph=False, jit_compile=True)

    def __call__(self, inputs, labels):
        """Checks one batch.

        Args:
          inputs, labels: as `Steps.train` takes them.

        Returns:
          {"reconstruction_error": largest error of a value that a stage's inverse restores,
          relative to the stage's largest value; "gradient_angle": degrees between the
          reversible and the stored gradient of all weights together}, of this host's
          replica where it is largest.
        """
        strategy = self._steps.strategy
        found = self._check(inputs, labels)
        return {
            name: max(float(value) for value in strategy.experimental_local_results(values))
            for name, values in found.items()
        }

    def _check_all(self, inputs, labels):
        return self._steps.strategy.run(self._check_one, (inputs, labels))

    def _check_replica(self, inputs, labels):
        steps = self._steps
        inputs, labels = tf.nest.map_structure(
            lambda x: x[: x.shape[0] // steps.num_passes], (inputs, labels)
        )
        images = steps.prepare(inputs)
        found, wanted = (
            model.forward_and_backward(images, labels)["gradients"]
            for model in (steps.model, self._stored)
        )
        return {
            "reconstruction_error": steps.model.reconstruction_error(images),
            "gradient_angle": angle(found, wanted),
        }


def angle(one, other):
    """Degrees between two {name: tensor} as vectors; exactly 0 if they are equal."""
    one, other = (
        tf.concat([tf.reshape(tf.cast(t[name], tf.float64), [-1]) for name in sorted(one)], 0)
        for t in (one, other)
    )
    one, other = (vector / tf.norm(vector) for vector in (one, other))
    # arccos of the product would lose half of the digits where the angle is small.
    return tf.atan2(tf.norm(one - other), tf.norm(one + other)) * 2 * (180 / math.pi)
