"""Reversible sequences of Keras layers."""

import inspect

import keras
import tensorflow as tf

from resnet.reversible.additive import AdditiveCoupling
from resnet.reversible.affine import AffineCoupling
from resnet.reversible.exact import round_to_grid
from resnet.reversible.sequence import BACKPROPS, run_sequence

# name -> (coupling of (f, g, exact, axis), channels that F returns for one of its half)
COUPLINGS = {
    "additive": (lambda f, g, exact, axis: AdditiveCoupling(f, g, exact), 1),
    "affine": (lambda f, g, exact, axis: AffineCoupling(f, g, "exp", axis), 2),
    "affine_sigmoid": (lambda f, g, exact, axis: AffineCoupling(f, g, "sigmoid", axis), 2),
}


@keras.saving.register_keras_serializable("resnet.reversible")
class Sequence(keras.layers.Layer):
    """Pairs of layers (F, G) as reversible units, trained without storing activations.

    Channels are split in halves (x1, x2). With the additive coupling, each unit is

        y1 = x1 + F(x2)
        y2 = x2 + G(y1)

    and the backward pass restores x1, x2 from y1, y2 (see AdditiveCoupling, and
    AffineCoupling for the others). F and G may hold state: batch statistics move once
    a step, and dropout drops the same values when F is run again.

    The halves are kept in the variables' type (float32 under mixed_bfloat16); F and G
    compute in their own.

        reversible.Sequence([(keras.layers.Dense(8), keras.layers.Dense(8))])  # of 16

    Example, shapes (N, 32, 32, 64) -> (N, 32, 32, 64):

        def residual():
            return keras.Sequential([
                keras.layers.BatchNormalization(),
                keras.layers.ReLU(),
                keras.layers.Conv2D(32, 3, padding="same"),
            ])

        layer = reversible.Sequence([(residual(), residual()) for _ in range(10)])

    Sources: Gomez et al. 2017, https://arxiv.org/abs/1707.04585, and the couplings'.
    """

    def __init__(
        self,
        units,
        coupling="additive",
        split_axis=-1,
        exact=False,
        backprop="reversible",
        **kwargs,
    ):
        """Makes the layer; F and G are built with it.

        Args:
          units: list of pairs (F, G) of Keras layers or models. Each maps a half to the
            other's shape; with an affine coupling, to twice its channels.
          coupling: "additive", "affine" (scale exp) or "affine_sigmoid".
          split_axis: axis of the channels.
          exact: whether the halves are kept on a fixed grid, so that they are restored to
            the bit and gradients equal stored ones. The additive coupling only.
          backprop: "reversible", "stored" or "checkpoint"; see `run_sequence`.
          **kwargs: as every Keras layer's, such as name and dtype.

        Raises:
          ValueError: no units, or not pairs; unknown or excluded choices.
        """
        kwargs.pop("autocast", None)
        super().__init__(autocast=False, **kwargs)
        pairs = [tuple(unit) if isinstance(unit, list | tuple) else (unit,) for unit in units]
        for i, pair in enumerate(pairs):
            if len(pair) != 2 or not all(isinstance(layer, keras.layers.Layer) for layer in pair):
                raise ValueError(f"unit {i} is {units[i]!r}, but must be a pair (F, G) of layers")
        if not pairs:
            raise ValueError("units is empty: give at least one pair (F, G) of layers")
        layers = [layer for pair in pairs for layer in pair]
        if len({id(layer) for layer in layers}) < len(layers):
            raise ValueError("a layer stands in units twice: its state would move twice a step")
        if coupling not in COUPLINGS:
            raise ValueError(f"unknown coupling {coupling!r}: choose one of {', '.join(COUPLINGS)}")
        if backprop not in BACKPROPS:
            raise ValueError(f"unknown backprop {backprop!r}: choose one of {', '.join(BACKPROPS)}")
        if exact and coupling != "additive":
            raise ValueError(
                f"exact needs the additive coupling, and this one is {coupling}: a product loses "
                "bits that no grid keeps"
            )
        self.coupling, self.split_axis = coupling, split_axis
        self.exact, self.backprop = exact, backprop
        self.f_layers = [f for f, _ in pairs]
        self.g_layers = [g for _, g in pairs]

    def build(self, input_shape):
        """Builds F and G, and checks what they return."""
        channels = input_shape[self.split_axis]
        if channels is None or channels % 2:
            raise ValueError(
                f"{self.name}: axis {self.split_axis} of an input of shape {tuple(input_shape)} is "
                f"{channels}, but must be even to be split in halves: change the layer before, "
                "or split_axis"
            )
        half, wanted = list(input_shape), list(input_shape)
        half[self.split_axis] = channels // 2
        wanted[self.split_axis] = channels // 2 * COUPLINGS[self.coupling][1]
        for name, layers in (("F", self.f_layers), ("G", self.g_layers)):
            for i, layer in enumerate(layers):
                found = layer(keras.KerasTensor(half, self.variable_dtype)).shape
                if tuple(found) != tuple(wanted):
                    raise ValueError(
                        f"{self.name}: {name} of unit {i} ({layer.name}) maps shape {tuple(half)} "
                        f"to {tuple(found)}, but the {self.coupling} coupling needs "
                        f'{tuple(wanted)}: no strides, padding "same", and as many filters'
                    )
        self.built = True

    def compute_output_shape(self, input_shape):
        """The input's."""
        return input_shape

    def call(self, x, training=None):
        """Runs the units: a tensor of any shape with an even split_axis, to the same shape."""
        if not isinstance(x, tf.Tensor):  # symbolic, while a functional model is made
            return keras.KerasTensor(x.shape, self.variable_dtype)
        y, aux = run_sequence(*self._units_and_params(training), self._halves(x), self.backprop)
        for f, g, (state_f, state_g, _) in zip(self.f_layers, self.g_layers, aux, strict=True):
            for layer, state in ((f, state_f), (g, state_g)):
                for i, value in state.items():
                    layer.non_trainable_variables[int(i)].assign(value)
        return tf.concat(y, axis=self.split_axis)

    def inverse(self, y, training=False):
        """The input that gives y, up to rounding, or to the bit if exact."""
        halves = self._halves(y)
        units, params = self._units_and_params(training)
        for unit, unit_params in zip(reversed(units), reversed(params), strict=True):
            halves = unit.inverse(unit_params, halves)
        return tf.concat(halves, axis=self.split_axis)

    def _halves(self, x):
        halves = tf.split(tf.cast(x, self.variable_dtype), 2, axis=self.split_axis)
        return tuple(round_to_grid(half) for half in halves) if self.exact else tuple(halves)

    def _units_and_params(self, training):
        """(couplings, their parameters) with the variables' present values."""
        make, _ = COUPLINGS[self.coupling]
        units, params = [], []
        for pair in zip(self.f_layers, self.g_layers, strict=True):
            f, g = (self._pure(layer, training) for layer in pair)
            units.append(make(f, g, self.exact, self.split_axis))
            params.append(tuple(_values(layer.trainable_variables) for layer in pair))
        return units, params

    def _pure(self, layer, training):
        """`layer` as a pure function; its aux is {index: new value} of the state it moves."""
        state = _values(layer.non_trainable_variables)
        mode = {"training": training} if "training" in _arguments(layer.call) else {}

        def function(params, x):
            y, new = layer.stateless_call(params, state, x, **mode)
            moved = {f"{i:06d}": v for i, v in enumerate(new) if v is not state[i]}
            return tf.cast(y, x.dtype), moved

        return function

    def get_config(self):
        """For saving."""
        units = zip(self.f_layers, self.g_layers, strict=True)
        serialize = keras.saving.serialize_keras_object
        config = super().get_config()
        config.pop("autocast", None)
        return config | {
            "units": [[serialize(f), serialize(g)] for f, g in units],
            "coupling": self.coupling,
            "split_axis": self.split_axis,
            "exact": self.exact,
            "backprop": self.backprop,
        }

    @classmethod
    def from_config(cls, config):
        """From what `get_config` returned."""
        deserialize = keras.saving.deserialize_keras_object
        units = [tuple(deserialize(layer) for layer in pair) for pair in config["units"]]
        return cls(**(config | {"units": units}))


def _arguments(function):
    return inspect.signature(function).parameters


def _values(variables):
    """What variables hold now, as tensors that gradients flow to."""
    return [tf.convert_to_tensor(variable.value) for variable in variables]
