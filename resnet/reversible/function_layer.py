"""Plain functions of (params, x) as Keras layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from resnet.reversible.nest import Nest


def registered(name: str) -> Any:
    """The object that was saved under a name with keras.saving's registration.

    Raises:
      ValueError: there is none.
    """
    found = keras.saving.get_registered_object(name)
    if found is None and ">" in name:  # as registration writes it
        raise ValueError(
            f"{name!r} is not registered: decorate it with "
            "keras.saving.register_keras_serializable() before loading"
        )
    if found is None:
        raise ValueError(
            f"{name!r} was not registered when it was saved: load with "
            f"custom_objects={{{name!r}: {name}}}, and decorate it with "
            "keras.saving.register_keras_serializable() before it is saved again"
        )
    return found


@keras.saving.register_keras_serializable("resnet.reversible")
class Function(keras.layers.Layer):
    """A plain function of (params, x), to be F or G of a Sequence.

    def f(params, x):  # (N, 8) -> (N, 8)
        return tf.tanh(x @ params["w"] + params["b"])

    F = reversible.Function(f, {"w": 0.1 * np.eye(8), "b": np.zeros(8)})
    """

    def __init__(
        self, function: Callable[[Nest, tf.Tensor], tf.Tensor], params: Nest, **kwargs: Any
    ) -> None:
        """Makes the layer and its weights.

        Args:
          function: `function(params, x) -> y`, of TensorFlow operations. To be saved and
            loaded, it is registered with keras.saving.register_keras_serializable.
          params: nest (dicts, lists, tuples) of arrays: initial values of the weights.
          **kwargs: as every Keras layer's.
        """
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"function is {function!r}: give the function first, then its params")
        self.function = function
        values = [keras.ops.convert_to_numpy(value) for value in tf.nest.flatten(params)]
        weights = [
            self.add_weight(shape=v.shape, initializer=lambda *_, v=v, **__: v) for v in values
        ]
        # Keras would make containers of its own of an attribute that holds variables.
        self._structure = lambda flat: tf.nest.pack_sequence_as(params, flat)
        self._flat = weights
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """function(params, x)."""
        return self.function(self._structure([tf.convert_to_tensor(w) for w in self._flat]), x)

    def get_config(self) -> dict[str, Any]:
        """For saving; the weights' values are saved as every layer's."""
        return super().get_config() | {
            "function": keras.saving.get_registered_name(self.function),
            "params": self._structure(range(len(self._flat))),
            "shapes": [list(weight.shape) for weight in self._flat],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Function:
        """From what `get_config` returned."""
        config = dict(config)
        shapes = config.pop("shapes")
        places = keras.saving.deserialize_keras_object(config.pop("params"))
        params = tf.nest.map_structure(lambda i: np.zeros(shapes[i], np.float32), places)
        return cls(registered(config.pop("function")), params, **config)
