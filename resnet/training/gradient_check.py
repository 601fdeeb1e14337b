"""How far reversible gradients are from stored ones, on a batch of a running training."""

import numpy as np
import tensorflow as tf

from resnet.reversible.checks import angle_between


class GradientCheck:
    """Compares a model's gradients to those of stored backprop on the same weights.

    It moves nothing. It takes stored backprop's memory while it runs, for the images of
    one pass on each replica.
    """

    def __init__(self, steps):
        """`steps`: the training's Steps, whose replicas and compilation it shares."""
        self._steps = steps
        self._stored = steps.model.variant("stored")
        self._check = tf.function(self._check_all, autograph=False)
        self._check_one = self._check_replica
        if steps.jit:
            self._check_one = tf.function(self._check_replica, autograph=False, jit_compile=True)

    def __call__(self, inputs, labels, step=None):
        """Checks one batch.

        Args:
          inputs, labels, step: as `Steps.train` takes them.

        Returns:
          {"reconstruction_error": largest error of a value that a stage's inverse restores,
          relative to the stage's largest value; "gradient_angle": degrees between the
          reversible and the stored gradient of all weights together}, of this host's
          replica where it is largest.
        """
        strategy = self._steps.strategy
        found = self._check(inputs, labels, step)
        return {
            name: float(np.max(strategy.experimental_local_results(values)))  # NaN included
            for name, values in found.items()
        }

    def _check_all(self, inputs, labels, step):
        return self._steps.strategy.run(self._check_one, (inputs, labels, step))

    def _check_replica(self, inputs, labels, step):
        steps = self._steps
        seed = steps.seed_of(step)
        inputs, labels = tf.nest.map_structure(
            lambda x: x[: x.shape[0] // steps.num_passes], (inputs, labels)
        )
        images = steps.prepare(inputs)
        found, wanted = (
            model.forward_and_backward(images, labels, seed)["gradients"]
            for model in (steps.model, self._stored)
        )
        return {
            "reconstruction_error": steps.model.reconstruction_error(images, seed),
            "gradient_angle": angle_between(_flat(found), _flat(wanted)),
        }


def _flat(tensors):
    """A {name: tensor} as one vector, float64."""
    return tf.concat(
        [tf.reshape(tf.cast(t, tf.float64), [-1]) for _, t in sorted(tensors.items())], 0
    )
