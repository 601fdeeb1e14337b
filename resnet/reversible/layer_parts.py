"""What a Keras layer is made of."""

from typing import Any

import keras


def parts_of(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """A layer and all layers inside it, however they are held.

    Keras' own, which nothing public gives: models list their layers, other layers do not.
    """
    return layer._flatten_layers()


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
