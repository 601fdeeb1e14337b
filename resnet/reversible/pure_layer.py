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
from resnet.reversible.layer_parts import trained_parts
from resnet.reversible.nest import Nest
from resnet.reversible.ordering import after

LOSS = "loss"  # in aux, beside the state's indices


class _InTraining(keras.layers.Layer):
    """Calls a function such that layers called by it know of `training`, as in a model's call."""

    def call(self, function: abc.Callable[[], Nest], training: bool | None = None) -> Nest:
        return function()


_in_training = _InTraining(name="in_training", autocast=False, dtype="float32")
_in_training.built = True


class _Scope(keras.StatelessScope):
    """Keeps what a layer assigns, and the variables that it assigned to."""

    def __init__(self, values: list[tuple[keras.Variable, tf.Tensor]]) -> None:
        super().__init__(values, collect_losses=True)
        self.assigned: list[keras.Variable] = []

    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        """As StatelessScope's."""
        super().add_update(update)
        self.assigned.append(update[0])


def pure_function(
    layer: keras.layers.Layer,
    state: list[tf.Tensor],
    options: dict[str, Any],
    has_context: bool = False,
) -> PureFunction:
    """A layer as a pure function.

    Its aux is {index: new value} of the state it moves, and the sum of losses that it adds.
    With a context, its parameters are a pair (its own, what `context_of` returned).
    Random numbers wait for x, so that those of a recomputation do not come before it.

    Raises:
      ValueError, when it is called: the layer assigns to a weight that is trained, or to a
        variable that is not its own; or it was frozen or thawed meanwhile.
    """
    training = options.get("training")
    trained, others = list(layer.trainable_variables), list(layer.non_trainable_variables)
    are_trained = trained_parts(layer)

    def function(params: Nest, x: Nest) -> tuple[Nest, Nest]:
        if trained_parts(layer) != are_trained:
            raise ValueError(
                f"{layer.name} was frozen or thawed before its gradient, which runs it again as it "
                "was: take the gradient first"
            )
        params, context = params if has_context else (params, {})
        if options.get("mask") is not None:  # for layers inside, which take it from their input
            x = tf.identity(x)
            x._keras_mask = options["mask"]
        held = [after(x, value) if value.dtype.is_integer else value for value in state]
        values = [*zip(trained, params, strict=True), *zip(others, held, strict=True)]

        def call() -> Nest:
            return layer(x, **known_to(layer, with_context(options, context)))

        scope = _Scope(values)
        with scope, without_mask_warning(layer):
            # Recomputation runs outside of every call, from which layers inside of one that does
            # not take `training` would have it.
            y = _in_training(function=call, training=training)
        _require_own_state(layer, scope.assigned, others)
        new = [scope.get_current_value(v) for v in others]
        aux: dict[str, Nest] = {f"{i:06d}": v for i, v in enumerate(new) if v is not held[i]}
        if scope.losses:
            aux[LOSS] = Term(tf.add_n([tf.cast(loss, x.dtype) for loss in scope.losses]))
        return tf.cast(y, x.dtype), aux

    return function


def _require_own_state(
    layer: keras.layers.Layer, assigned: list[keras.Variable], state: list[keras.Variable]
) -> None:
    """Checks that what a layer assigned to is kept and replayed."""
    own = {id(variable) for variable in state}
    for variable in assigned:
        if id(variable) not in own:
            raise ValueError(
                f"{layer.name} assigns to {variable.path}, which is not among its non-trainable "
                "variables, and so would be lost: draw random numbers from a "
                "keras.random.SeedGenerator that the layer holds, and keep metrics, and what "
                "normalises kernels, outside of F and G"
            )


def context_of(arguments: dict[str, Any]) -> dict[str, list[tf.Tensor]]:
    """What gradients flow to of a call's arguments: of each, the float tensors in its nest."""
    found = {
        name: [_tensor(part) for part in tf.nest.flatten(value) if _is_float(part)]
        for name, value in arguments.items()
    }
    return {name: parts for name, parts in found.items() if parts}


def with_context(arguments: dict[str, Any], context: dict[str, list[tf.Tensor]]) -> dict[str, Any]:
    """The arguments, with a context's tensors in the places that `context_of` took them from."""
    filled = {}
    for name, tensors in context.items():
        left = iter(tensors)
        parts = [
            next(left) if _is_float(part) else part for part in tf.nest.flatten(arguments[name])
        ]
        filled[name] = tf.nest.pack_sequence_as(arguments[name], parts)
    return arguments | filled


def _is_float(value: Any) -> bool:
    # Sparse and ragged tensors are no parts of nests that have gradients.
    is_tensor = isinstance(value, tf.Tensor | tf.Variable | keras.Variable)
    return is_tensor and tf.as_dtype(value.dtype).is_floating


def _tensor(value: Any) -> tf.Tensor:
    return tf.convert_to_tensor(value.value if isinstance(value, keras.Variable) else value)


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
