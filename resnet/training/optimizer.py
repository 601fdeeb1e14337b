"""Optimizers: gradients clipped, weights decayed, and an update by SGD, Muon or one of Keras'."""

import keras
import tensorflow as tf

from resnet.training.averaging import WeightAverage
from resnet.training.momentum import Momentum
from resnet.training.muon import Muon

KERAS = {
    "adam": lambda momentum: keras.optimizers.Adam(beta_1=momentum),
    "adamw": lambda momentum: keras.optimizers.Adam(beta_1=momentum),  # decayed decoupled
    "lion": lambda momentum: keras.optimizers.Lion(beta_1=momentum),
    "rmsprop": lambda momentum: keras.optimizers.RMSprop(momentum=momentum),
}

# Variables that each keeps for one that it updates.
NUM_SLOTS = {"sgd": 1, "muon": 1, "adam": 2, "adamw": 2, "lion": 1, "rmsprop": 2}


def bytes_per_parameter(config):
    """Bytes of a weight, its gradient and what training keeps of it, as float32."""
    return 4 * (2 + NUM_SLOTS[config.optimizer] + bool(config.ema_decay))


def make_optimizer(model):
    """The optimizer of a model's trained variables that its config asks for."""
    config, variables = model.config, model.trainable_by_storage_name
    if config.optimizer == "sgd":
        update = Momentum(variables, config.momentum, config.nesterov)
    elif config.optimizer == "muon":
        kernels = {name for name in variables if model.is_kernel(name)}
        update = Muon(variables, kernels, config.momentum, config.sgd_ratio)
    else:
        update = KerasUpdate(variables, config.optimizer, config.momentum)
    decay = config.weight_decay if config.decay_is_decoupled else 0.0
    decayed = [v for name, v in variables.items() if model.is_decayed(name)] if decay else []
    average = None
    if config.ema_decay:
        average = WeightAverage(model.variables_by_storage_name, config.ema_decay)
    return Optimizer(update, config.global_clipnorm, decay, decayed, average)


class Optimizer:
    """Updates variables by their gradients.

    Attributes:
      slots: {suffix of their names in checkpoints: {storage name: tf.Variable}}.
      average: WeightAverage of the variables, or None.
    """

    def __init__(self, update, clipnorm=None, decay=0.0, decayed=(), average=None):
        """Makes one of an update.

        Args:
          update: Momentum, Muon or KerasUpdate.
          clipnorm: largest norm of all gradients together; None: any.
          decay: learning rate times decay, times a weight, is taken off it first.
          decayed: variables that are.
          average: WeightAverage to move along.
        """
        self.update, self.average = update, average
        self.slots = update.slots | (average.slots if average else {})
        self._clipnorm, self._decay, self._decayed = clipnorm, decay, decayed

    def apply(self, gradients, learning_rate, step=None):
        """Updates the variables in place.

        Args:
          gradients: {storage name: tensor}.
          learning_rate: float32 scalar.
          step: int64 scalar, number of updates done; None: Keras counts, and averages have
            their whole decay from the first.
        """
        if self._clipnorm:
            names, values = zip(*gradients.items(), strict=True)
            clipped, _ = tf.clip_by_global_norm(values, self._clipnorm)
            gradients = dict(zip(names, clipped, strict=True))
        for variable in self._decayed:  # Loshchilov & Hutter 2019, arxiv.org/abs/1711.05101
            variable.assign_sub(learning_rate * self._decay * variable)
        self.update(gradients, learning_rate, step)
        if self.average:
            self.average.update(step)


class KerasUpdate:
    """An update by an optimizer of Keras.

    Attributes:
      slots: {suffix: {storage name: tf.Variable}}, such as "momentum" and "velocity".
    """

    def __init__(self, variables, name, momentum):
        """Makes an optimizer of KERAS and its slots for {storage name: tf.Variable}."""
        self.variables = variables
        self._optimizer = KERAS[name](momentum)
        self._optimizer.build(list(variables.values()))
        rate, count = self._optimizer.learning_rate, self._optimizer.iterations
        self.slots = {}
        for slot in self._optimizer.variables:
            if slot is not rate and slot is not count:
                self.slots.setdefault(slot.name.rpartition("_")[2], []).append(slot.value)
        self.slots = {
            kind: dict(zip(variables, slots, strict=True)) for kind, slots in self.slots.items()
        }

    def __call__(self, gradients, learning_rate, step=None):
        """Updates the variables; arguments as of `Optimizer.apply`."""
        if step is not None:  # a restored run goes on with the count, too
            self._optimizer.iterations.assign(step)
        self._optimizer.learning_rate.assign(learning_rate)
        # Keras sums over replicas, which have the same means already.
        count = tf.distribute.get_strategy().num_replicas_in_sync
        self._optimizer.apply([gradients[name] / count for name in self.variables])
