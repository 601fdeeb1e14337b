"""What a Keras layer is made of."""

from typing import Any

import keras
import tensorflow as tf


def parts_of(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """A layer and all layers inside it, however they are held.

    Keras' own, which nothing public gives: models list their layers, other layers do not.
    """
    return layer._flatten_layers()


def trained_parts(layer: keras.layers.Layer) -> list[bool]:
    """Whether each part of a layer is trained, or frozen; in the order of `parts_of`."""
    return [part.trainable for part in parts_of(layer)]


def state_of(layer: keras.layers.Layer) -> list[keras.Variable]:
    """A layer's variables but for its weights, which may be frozen: statistics, random states."""
    weights = {id(v) for part in parts_of(layer) for v in part._trainable_variables}
    return [v for v in layer.variables if id(v) not in weights]


def require_keras_variables(layer: keras.layers.Layer) -> None:
    """Checks that a layer holds no variable that Keras neither trains nor replays.

    Raises:
      ValueError: it does.
    """
    for part in parts_of(layer):
        for name, value in vars(part).items():
            if not name.startswith("_self_") and _holds_variable(value):  # those are TensorFlow's
                raise ValueError(
                    f"{part.name}.{name} is, or has in it, a tf.Variable or tf.random.Generator, "
                    "which would neither be trained nor be put back when the layer runs again: "
                    "make it with add_weight, a constant with tf.constant, or a "
                    "keras.random.SeedGenerator"
                )


def _holds_variable(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(map(_holds_variable, value))
    return isinstance(value, tf.Variable | tf.random.Generator)


def require_alike(layers: list[keras.layers.Layer], role: str, where: str = "") -> None:
    """Checks that layers may run as one in a loop.

    Raises:
      ValueError: they differ in more than their weights.
    """
    for i, layer in enumerate(layers):
        if form_of(layer) != form_of(layers[0]):
            raise ValueError(
                f"{role} of unit {i}{where} ({layer.name}) is not like that of unit 0, but in a "
                "loop only their weights may differ: make them alike, or leave loop out"
            )


def require_frozen_alike(layers: list[keras.layers.Layer], role: str, where: str = "") -> None:
    """Checks that of layers, which may run as one in a loop, the same parts are frozen now.

    Raises:
      ValueError: they are not.
    """
    for i, layer in enumerate(layers):
        if trained_parts(layer) != trained_parts(layers[0]):
            raise ValueError(
                f"{role} of unit {i}{where} ({layer.name}) has other frozen parts than that of "
                "unit 0: in a loop, freeze a part in all units or in none, or leave loop out"
            )


def form_of(layer: keras.layers.Layer) -> object:
    """What a layer is but for names, weights and seeds, to be compared with another's."""
    parts = parts_of(layer)
    # Of a functional model, operations have names, too.
    named = [one for part in parts for one in (part, *getattr(part, "operations", ()))]
    places = {one.name: f"layer {i}" for i, one in enumerate(named)}

    def strip(config: Any) -> Any:
        if isinstance(config, dict):
            names = config.keys() - {"name", "seed", "build_config", "shared_object_id"}
            return {name: strip(config[name]) for name in names}
        if isinstance(config, list | tuple):
            return [strip(item) for item in config]
        return places.get(config, config) if isinstance(config, str) else config

    weights = [(tuple(v.shape), v.dtype, v.trainable) for v in layer.variables]
    # Of functions, a config holds but the names.
    functions = [getattr(part, name, None) for part in parts for name in ("function", "activation")]
    return strip(keras.saving.serialize_keras_object(layer)), weights, functions
