"""A moving average of a model's weights, which is evaluated in their place."""

import tensorflow as tf

from resnet.training.slots import variables_beside
from resnet.weights.checkpoint_format import AVERAGE


class WeightAverage:
    """average = d average + (1 - d) weight, after every update, batch norm's averages included.

    d is the decay, at first less: (1 + n) / (10 + n) after n updates, so that the initial
    weights are soon forgotten (as in tf.train.ExponentialMovingAverage).

    Attributes:
      variables: {storage name: tf.Variable}.
      slots: {"ExponentialMovingAverage": variables}.
    """

    def __init__(self, weights, decay):
        """Makes averages, equal to the weights, of {storage name: tf.Variable}."""
        self._weights, self._decay = weights, decay
        self.variables = variables_beside(weights, AVERAGE, lambda weight: weight.value())
        self.slots = {AVERAGE: self.variables}

    def update(self, step):
        """Moves the averages in place.

        Args:
          step: int64 scalar, number of updates done before this one; None: many.
        """
        keep = self._decay
        if step is not None:
            count = tf.cast(step + 1, tf.float32)
            keep = tf.minimum(keep, (1 + count) / (10 + count))
        for name, average in self.variables.items():
            average.assign_sub((1 - keep) * (average - self._weights[name]))

    def reset(self):
        """Sets the averages to the weights."""
        for name, average in self.variables.items():
            average.assign(self._weights[name])
