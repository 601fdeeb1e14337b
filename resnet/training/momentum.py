"""Stochastic gradient descent with momentum."""

import tensorflow as tf

from resnet.training.slots import variables_beside
from resnet.weights.checkpoint_format import MOMENTUM


class Momentum:
    """m = momentum m + g;  w = w - learning_rate m, or, in Nesterov's form, - learning_rate
    (g + momentum m) with the new m.

    Attributes:
      slots: {"Momentum": {storage name: tf.Variable}}, the accumulators m.
    """

    def __init__(self, variables, momentum, nesterov=False):
        """Makes accumulators of zeros for {storage name: tf.Variable}."""
        self.variables, self.momentum, self.nesterov = variables, momentum, nesterov
        self.slots = {MOMENTUM: variables_beside(variables, MOMENTUM, tf.zeros_like)}

    def __call__(self, gradients, learning_rate, step=None):
        """Updates the variables; arguments as of `Optimizer.apply`."""
        for name, variable in self.variables.items():
            if name not in gradients:  # a fused update has updated it
                continue
            # The fused kernel. Written as separate sums, the graph optimiser would
            # reorder them differently from run to run, and restored runs would
            # no longer be equal bit for bit.
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle,
                accum=self.slots[MOMENTUM][name].handle,
                lr=learning_rate,
                grad=gradients[name],
                momentum=self.momentum,
                use_nesterov=self.nesterov,
            )
