"""Stochastic gradient descent with momentum."""

import tensorflow as tf


class Momentum:
    """m = momentum m + g;  w = w - learning_rate m, or, in Nesterov's form, - learning_rate
    (g + momentum m) with the new m.

    Attributes:
      slots: {storage name: tf.Variable}, the accumulators m.
    """

    def __init__(self, variables, momentum, nesterov=False):
        """Makes accumulators of zeros for {storage name: tf.Variable}."""
        self.variables, self.momentum, self.nesterov = variables, momentum, nesterov
        self.slots = {
            name: tf.Variable(
                tf.zeros_like(variable),
                trainable=False,
                name=f"{name}_Momentum".replace("/", "_"),
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            for name, variable in variables.items()
        }

    def apply(self, gradients, learning_rate):
        """Updates variables in place.

        Args:
          gradients: {storage name: tensor}.
          learning_rate: float32 scalar.
        """
        for name, variable in self.variables.items():
            # The fused kernel. Written as separate sums, the graph optimiser would
            # reorder them differently from run to run, and restored runs would
            # no longer be equal bit for bit.
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle,
                accum=self.slots[name].handle,
                lr=learning_rate,
                grad=gradients[name],
                momentum=self.momentum,
                use_nesterov=self.nesterov,
            )
