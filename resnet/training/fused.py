"""Updates inside the backward pass: no gradient of a unit outlives its update."""

import tensorflow as tf

from resnet.models.network import is_stacked
from resnet.settings import SKIP, STOP, SettingError
from resnet.training.slots import variables_beside
from resnet.weights.checkpoint_format import MOMENTUM


def require_no_other_use_of_gradients(config, options, computation, jit, num_replicas):
    """Checks that nothing needs all gradients at once.

    Args:
      config, options: Config, RunOptions.
      computation: the model's Computation.
      jit: whether XLA compiles steps, as "auto" came out.
      num_replicas: int.

    Raises:
      SettingError: something does; it names what to leave out.
    """
    wants = {
        "optimizer": (config.optimizer != "sgd", f"optimizer {config.optimizer!r}"),
        "global_clipnorm": (config.global_clipnorm, "clipping by the norm of all gradients"),
        "decoupled_weight_decay": (
            config.weight_decay and config.decay_is_decoupled,
            "weight decay apart from the gradient",
        ),
        "num_pass": (options.num_pass > 1, "more than one pass"),
        "nan_policy": (options.nan_policy == SKIP, "updates that wait for all gradients"),
        "exact_policy": (options.exact_policy == STOP, "updates that wait for the exact range"),
        "check_gradients_every": (options.check_gradients_every, "checks of gradients"),
        "memory_budget": (computation.memory_budget, "a memory budget"),
        "backprop": (
            computation.backprop != "reversible",
            f"backprop {computation.backprop!r}, which keeps activations of all units",
        ),
        "jit": (jit, "XLA"),
        "num_gpu": (num_replicas > 1, "replicas, whose gradients are averaged"),
    }
    for key, (is_wanted, what) in wants.items():
        if is_wanted:
            raise SettingError(
                f"a fused update does not go with {what}: leave one of them out",
                "fused_update",
                key,
            )


class FusedUpdate:
    """Momentum's update of units' weights, one unit at a time; the same bits as apart.

    Attributes:
      names: storage names of the variables that it updates, each of several units.
    """

    def __init__(self, model, update):
        """Makes what it keeps: a norm for each unit's gradient.

        Args:
          model: Model.
          update: Momentum, of the model's trained variables.
        """
        self._model, self._update = model, update
        variables = model.trainable_by_storage_name
        self.names = [name for name in variables if is_stacked(name)]
        stacks = {name: variables[name] for name in self.names}
        self._squares = variables_beside(stacks, "squares", lambda v: tf.zeros(v.shape[:1]))

    def at(self, learning_rate):
        """The function that a network asks for a stage's units: see `Units`.

        Args:
          learning_rate: float32 scalar, of this step.
        """
        return lambda prefix: Units(self, prefix, learning_rate)

    def halved_square(self, name):
        """Half of the squared norm of a variable's gradient in the last step; () float32."""
        return tf.reduce_sum(self._squares[name])

    def row(self, name, i):
        """Unit i's part of a variable, as it is."""
        variable = self._model.trainable_by_storage_name[name]
        return _row(variable, i)

    def update(self, name, i, gradient, learning_rate):
        """Updates unit i's part; returns the operations that do."""
        model, momentum = self._model, self._update.momentum
        variable = model.trainable_by_storage_name[name]
        accumulator = self._update.slots[MOMENTUM][name]
        if decay := model.decay_of(name):
            gradient += decay * _row(variable, i)
        m = _row(accumulator, i) * momentum + gradient
        step = m * learning_rate
        if self._update.nesterov:
            step = gradient * learning_rate + m * momentum * learning_rate
        scatter = {"indices": i, "resource": accumulator.handle, "updates": m}
        done = [tf.raw_ops.ResourceScatterUpdate(**scatter)]
        scatter = {"indices": i, "resource": variable.handle, "updates": step}
        done.append(tf.raw_ops.ResourceScatterSub(**scatter))
        scatter = {"indices": i, "resource": self._squares[name].handle}
        done.append(tf.raw_ops.ResourceScatterUpdate(**scatter, updates=tf.nn.l2_loss(gradient)))
        return done


class Units:
    """A stage's units whose weights are read and updated one unit at a time."""

    def __init__(self, fused, prefix, learning_rate):
        """`prefix`: of the storage names of the stage's units."""
        self._fused, self._rate = fused, learning_rate
        self._names = {
            name.removeprefix(prefix): name for name in fused.names if name.startswith(prefix)
        }

    def read(self, i):
        """{name: tensor} of unit i, counted from 0; an integer or int32 scalar."""
        return {own: self._fused.row(name, i) for own, name in self._names.items()}

    def update(self, i, gradients):
        """Updates unit i by {name: gradient}; returns the operations that do."""
        return [
            operation
            for own, name in self._names.items()
            for operation in self._fused.update(name, i, gradients[own], self._rate)
        ]


def _row(variable, i):
    """A part of a variable. Not by its own method: a tape would watch it, and read all of it."""
    value = tf.raw_ops.ResourceGather(resource=variable.handle, indices=i, dtype=variable.dtype)
    return tf.ensure_shape(value, variable.shape[1:])
