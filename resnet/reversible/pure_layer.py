"""Keras layers as pure functions of their weights and state."""

from __future__ import annotations

import contextlib
import inspect
import re
import warnings
from collections import abc
from typing import Any

import keras
import tensorflow as tf

from resnet.reversible.gradients import PureFunction, Term
from resnet.reversible.nest import Nest
from resnet.reversible.ordering import after

LOSS = "loss"  # in aux, beside the state's indices


class _InTraining(keras.layers.Layer):
    """Calls a function such that layers called by it know of `training`, as in a model's call."""

    def call(self, function: abc.Callable[[], Nest], training: bool | None = None) -> Nest:
        return function()


_in_training = _InTraining(name="in_training", autocast=False, dtype="float32")
_in_training.built = True


def pure_function(
    layer: keras.layers.Layer,
    state: list[tf.Tensor],
    options: dict[str, Any],
    has_context: bool = False,
) -> PureFunction:
    """A layer as a pure function.

    Its aux is {index: new value} of the state it moves, and the sum of losses that it adds.
    With a context, its parameters are a pair (its own, the context's {name: tensor}).
    Random numbers wait for x, so that those of a recomputation do not come before it.
    """
    training = options.get("training")

    def function(params: Nest, x: Nest) -> tuple[Nest, Nest]:
        params, context = params if has_context else (params, {})
        if options.get("mask") is not None:  # for layers inside, which take it from their input
            x = tf.identity(x)
            x._keras_mask = options["mask"]
        held = [after(x, value) if value.dtype.is_integer else value for value in state]
        values = [*zip(layer.trainable_variables, params, strict=True)]
        values += zip(layer.non_trainable_variables, held, strict=True)

        def call() -> Nest:
            return layer(x, **known_to(layer, options | context))

        scope = keras.StatelessScope(values, collect_losses=True)
        with scope, without_mask_warning(layer):
            # Recomputation runs outside of every call, from which layers inside of one that does
            # not take `training` would have it.
            y = _in_training(function=call, training=training)
        new = [scope.get_current_value(v) for v in layer.non_trainable_variables]
        aux: dict[str, Nest] = {f"{i:06d}": v for i, v in enumerate(new) if v is not held[i]}
        if scope.losses:
            aux[LOSS] = Term(tf.add_n([tf.cast(loss, x.dtype) for loss in scope.losses]))
        return tf.cast(y, x.dtype), aux

    return function


@contextlib.contextmanager
def without_mask_warning(layer: keras.layers.Layer) -> abc.Iterator[None]:
    """Keeps Keras from saying that a mask ends at F or G: the Sequence hands it on itself."""
    with warnings.catch_warnings():
        name = re.escape(layer.name)
        warnings.filterwarnings("ignore", f"Layer '{name}' .* was passed an input with a mask")
        yield


def known_to(layer: keras.layers.Layer, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of the arguments that a layer's call names."""
    return taken_by(layer.call, arguments)


def taken_by(function: abc.Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of the arguments that a function names."""
    names = arguments_of(function)
    return {name: value for name, value in arguments.items() if name in names}


def arguments_of(function: abc.Callable[..., Any]) -> abc.Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def values_of(variables: abc.Iterable[tf.Variable]) -> list[tf.Tensor]:
    """What variables hold now, as tensors that gradients flow to."""
    return [tf.convert_to_tensor(variable.value) for variable in variables]
