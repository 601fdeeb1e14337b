"""Reversible sequences of Keras layers."""

from __future__ import annotations

import contextlib
import functools
from collections import abc
from typing import Any

import keras
import tensorflow as tf

from resnet.reversible.context import WithContext
from resnet.reversible.coupling import Coupling
from resnet.reversible.exact import round_to_grid
from resnet.reversible.function_layer import registered
from resnet.reversible.gradients import PureFunction
from resnet.reversible.join import Join
from resnet.reversible.layer_parts import (
    require_alike,
    require_frozen_alike,
    require_keras_variables,
)
from resnet.reversible.log_determinant import losses_in
from resnet.reversible.memory import units_that_fit
from resnet.reversible.nest import Nest
from resnet.reversible.pure_layer import (
    LOSS,
    arguments_of,
    context_of,
    known_to,
    pure_function,
    values_of,
    without_mask_warning,
)
from resnet.reversible.repeated import Repeated
from resnet.reversible.sequence import run_sequence
from resnet.reversible.sequence_choices import COUPLINGS, pairs_of, require_choices

Shapes = Any  # of a tensor, or of each of a pair


@keras.saving.register_keras_serializable("resnet.reversible")
class Sequence(keras.layers.Layer):
    """Pairs of layers (F, G) as reversible units, trained without storing activations.

    Channels are split in halves (x1, x2). With the additive coupling, each unit is

        y1 = x1 + F(x2)
        y2 = x2 + G(y1)

    and the backward pass restores x1, x2 from y1, y2 (see AdditiveCoupling, and
    AffineCoupling for the others). F and G may hold state: batch statistics move once
    a step, and dropout drops the same values when F is run again.

    Called with a pair of tensors (x1, x2), it does not split, and returns the pair
    (y1, y2); then the two may differ in any axis.

    The halves are kept in the variables' type (float32 under mixed_bfloat16); F and G
    compute in their own.

    Further arguments of a call, such as attention_mask, go to each F and G whose call names
    them, and gradients flow to their float tensors; a Keras mask goes to those that name
    `mask`. What F and G add with add_loss or an activity regularizer counts once.
    `len(layer)` is the number of units.

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

    Attributes:
      num_kept: units at the end that the last call stored, with a memory budget.
    """

    _built_channels: tuple[int | None, ...]
    _num_that_fit: dict[tuple[tuple[int, ...], ...], int]

    def __init__(
        self,
        units: abc.Sequence[abc.Sequence[keras.layers.Layer]],
        coupling: str | abc.Callable[[PureFunction, PureFunction], Coupling] = "additive",
        split_axis: int = -1,
        exact: bool = False,
        backprop: str = "reversible",
        sizes: abc.Sequence[int] | None = None,
        memory_budget: int = 0,
        loop: bool = False,
        **kwargs: Any,
    ) -> None:
        """Makes the layer; F and G are built with it.

        Args:
          units: list of pairs (F, G) of Keras layers or models, or of plain functions as
            `Function`. F maps x2 to the shape of x1, and G x1 to that of x2; with an
            affine coupling, to twice its channels.
          coupling: "additive", "affine" (scale exp) or "affine_sigmoid"; or one of your
            own, `coupling(f, g)` that makes a `Coupling` of the pair's pure functions:
            its params are theirs, and its aux begins with theirs. To be saved and loaded,
            it is a function registered as `Function`'s.
          split_axis: axis of the channels.
          exact: whether the halves are kept on a fixed grid, so that they are restored to
            the bit and gradients equal stored ones. The additive coupling only.
          backprop: "reversible", "stored" or "checkpoint"; see `run_sequence`.
          sizes: channels of x1 and of x2; default: the same.
          memory_budget: bytes, of a whole batch, that activations of units may take which
            then need not be recomputed: as many as fit, from the end.
          loop: whether the units, which then must be the same but for their weights, run in
            a loop: a graph that does not grow with depth, and is built faster.
          **kwargs: as every Keras layer's, such as name and dtype.

        Raises:
          ValueError: no units, or not pairs; unknown or excluded choices.
        """
        kwargs.pop("autocast", None)
        # Variables are read here as they are; F and G cast theirs by policies of their own.
        policy = keras.dtype_policies.get(kwargs.pop("dtype", None) or keras.config.dtype_policy())
        super().__init__(autocast=False, dtype=policy.variable_dtype, **kwargs)
        pairs = pairs_of(units)
        require_choices(
            coupling=coupling,
            split_axis=split_axis,
            exact=exact,
            backprop=backprop,
            sizes=sizes,
            memory_budget=memory_budget,
            loop=loop,
            policy=policy,
        )
        self.coupling, self.split_axis = coupling, split_axis
        self.exact, self.backprop = exact, backprop
        self.sizes, self.memory_budget = sizes and tuple(sizes), memory_budget
        self.num_kept, self.loop = 0, loop
        self._batch_size, self._num_that_fit = None, {}
        self._argument_specs: dict[str, Any] = {}
        self.supports_masking = True
        self.f_layers = [f for f, _ in pairs]
        self.g_layers = [g for _, g in pairs]

    def __len__(self) -> int:
        """Number of units."""
        return len(self.f_layers)

    # ------------------------------------------------------------------ shapes

    def __call__(self, x: Nest, *args: Any, **kwargs: Any) -> Nest:
        """As every Keras layer's; what F and G take beside x is known when they are built."""
        self._require_known(kwargs.keys() - {"training", "mask"})
        # AutoGraph, which converts this too, knows no assignments within expressions.
        mask = kwargs.get("mask")
        mask = mask_of(x) if mask is None else mask
        if mask is not None:
            kwargs["mask"] = mask  # Keras' own rule takes it from a single tensor argument alone
        if not self.built:
            self._argument_specs = {
                name: tf.nest.map_structure(_spec, value)
                for name, value in kwargs.items()
                if name != "training" and not (name == "mask" and isinstance(value, list | tuple))
            }
        with self._other_channels_named(x):
            return super().__call__(x, *args, **kwargs)

    def _require_known(self, arguments: abc.Iterable[str]) -> None:
        """Checks that of each argument some F or G knows.

        Raises:
          TypeError: none does.
        """
        for name in arguments:
            if not any(name in arguments_of(layer.call) for layer in self.f_layers + self.g_layers):
                raise TypeError(
                    f"{self.name}: no F and no G has an argument {name!r}: give their call one, "
                    "or leave it out"
                )

    @contextlib.contextmanager
    def _other_channels_named(self, x: Nest) -> abc.Iterator[None]:
        """Says of an error that x has other channels than the units were built for, if so."""
        try:
            yield
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            shape = tf.nest.map_structure(lambda t: tuple(t.shape), x)
            channels = self._channels(shape) if self.built else None
            if channels is None or channels == self._built_channels:
                raise
            raise ValueError(
                f"{self.name}: its units are built for halves of {self._built_channels} channels, "
                f"and are called with {channels} ({error}): make another Sequence for these"
            ) from error

    def build(self, input_shape: Shapes) -> None:
        """Builds F and G, and checks what they return."""
        half1, half2 = (list(half) for half in self._half_shapes(input_shape))
        self._built_channels = self._channels(input_shape)
        for i, (f, g) in enumerate(zip(self.f_layers, self.g_layers, strict=True)):
            self._build_one(f"F of unit {i}", f, half2, half1)
            self._build_one(f"G of unit {i}", g, half1, half2)
        if self.loop:
            require_alike(self.f_layers, f"{self.name}: F")
            require_alike(self.g_layers, f"{self.name}: G")
        self.built = True

    def _half_shapes(self, input_shape: Shapes) -> Shapes:
        """The shapes of x1 and x2."""
        if isinstance(input_shape[0], list | tuple):
            if len(input_shape) != 2:
                raise ValueError(f"{self.name}: called with {len(input_shape)} tensors, not two")
            return input_shape
        if not -len(input_shape) <= self.split_axis < len(input_shape):
            raise ValueError(
                f"{self.name}: split_axis is {self.split_axis}, but an input of shape "
                f"{tuple(input_shape)} has no such axis"
            )
        channels, sizes = input_shape[self.split_axis], self.sizes
        if sizes and sum(sizes) != channels:
            raise ValueError(
                f"{self.name}: sizes are {sizes}, but axis {self.split_axis} of an input of shape "
                f"{tuple(input_shape)} is {channels}: make them add up to it"
            )
        if not sizes and (channels is None or channels % 2):
            raise ValueError(
                f"{self.name}: axis {self.split_axis} of an input of shape {tuple(input_shape)} is "
                f"{channels}, but must be even to be split in halves: change the layer before, "
                "split_axis, or give sizes"
            )
        halves = list(input_shape), list(input_shape)
        for half, size in zip(halves, sizes or [channels // 2] * 2, strict=True):
            half[self.split_axis] = size
        return halves

    def _channels(self, input_shape: Shapes) -> tuple[int | None, ...]:
        """Channels of x1 and x2, where a pair has that axis."""
        halves = self._half_shapes(input_shape)
        return tuple(size for half in halves for size in tuple(half)[self.split_axis :][:1])

    def _build_one(
        self,
        role: str,
        layer: keras.layers.Layer,
        shape: abc.Sequence[Any],
        other: abc.Sequence[Any],
    ) -> None:
        """Builds F or G, which maps `shape` to what is coupled to `other`."""
        specs = known_to(layer, self._argument_specs)
        takes = list(arguments_of(layer.call).values())[1:]
        needed = {p.name for p in takes if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
        if layer.built and not needed <= specs.keys():  # loaded, and not called yet
            return
        try:
            with without_mask_warning(layer):
                output = layer(keras.KerasTensor(shape, self.variable_dtype), **specs)
        except TypeError as error:
            raise TypeError(
                f"{self.name}: {role} ({layer.name}) cannot be called with one tensor of shape "
                f"{tuple(shape)} ({error}): put it into a layer of your own whose call takes one, "
                "and gives it what else it needs"
            ) from None
        require_keras_variables(layer)
        if not hasattr(output, "shape"):
            raise ValueError(
                f"{self.name}: {role} ({layer.name}) returns {type(output).__name__}, but must "
                "return one tensor"
            )
        found = tuple(output.shape)
        if callable(self.coupling):
            return
        wanted = list(other)
        wanted[self.split_axis] *= COUPLINGS[self.coupling][1]
        if found != tuple(wanted):
            raise ValueError(
                f"{self.name}: {role} ({layer.name}) maps shape {tuple(shape)} to {found}, but "
                f"the {self.coupling} coupling needs {tuple(wanted)} (split_axis is "
                f"{self.split_axis}): let its last layer have {wanted[self.split_axis]} filters, "
                'or units of Dense, without strides and with padding "same", or change split_axis'
            )

    def compute_output_shape(self, input_shape: Shapes, *_: Any, **__: Any) -> Shapes:
        """The input's."""
        return input_shape

    def compute_output_spec(self, x: Nest, *_: Any, **__: Any) -> Nest:
        """The input's shape, in the variables' type."""
        self._batch_size = tf.nest.flatten(x)[0].shape[0]  # what keras.Input was given
        return tf.nest.map_structure(lambda t: keras.KerasTensor(t.shape, self.variable_dtype), x)

    # ------------------------------------------------------------------ computation

    def call(
        self, x: Nest, training: bool | None = None, mask: Nest = None, **arguments: Any
    ) -> Nest:
        """Runs the units.

        Args:
          x: tensor of any shape with an even split_axis (or of `sizes`), or a pair.
          training, mask: as every Keras layer's; of a pair x, a pair of masks.
          **arguments: what F and G take by these names: tensors and nests of such, or other
            values; Keras refuses both in one call.

        Returns:
          As x.

        Raises:
          TypeError: no F and no G takes an argument.
          ValueError: a memory budget, and the batch size is not known.
        """
        units, params, context = self._units_and_params(training, mask, arguments)
        halves = self._halves(x)
        if context:
            halves = (halves, context)
        self.num_kept = 0
        if self.memory_budget and training:
            self.num_kept = self._units_in_budget(units, params, halves)
        # What is stored anew needs no joining of its own.
        is_joined = not isinstance(x, list | tuple) and self.backprop == "reversible"
        is_joined = is_joined and not self.num_kept
        if is_joined:
            join = Join(self.split_axis, self.sizes)
            units, params = [*units, WithContext(join) if context else join], [*params, ()]
        y, aux = run_sequence(units, params, halves, self.backprop, self.num_kept)
        if context:
            y, _ = y
        if is_joined:
            aux.pop()
        if callable(self.coupling):
            self._require_states(aux)
        terms = [tf.reduce_sum(tf.cast(t, self.variable_dtype)) for t in losses_in(aux)]
        if terms:
            self.add_loss(tf.add_n(terms))
        if self.loop:
            aux = [
                tf.nest.map_structure(lambda s, k=k: s[k], aux[0])
                for k in range(len(self.f_layers))
            ]
        self._assign_states(aux)
        return y if is_joined else self._joined(y, x)

    def _assign_states(self, aux: list[Nest]) -> None:
        """Moves the state of F and G, from the aux of each unit.

        Raises:
          ValueError: two of them move the same variable.
        """
        pairs = zip(self.f_layers, self.g_layers, aux, strict=True)
        moves = [
            (layer, layer.non_trainable_variables[int(i)], value)
            for f, g, (state_f, state_g, *_) in pairs
            for layer, state in ((f, state_f), (g, state_g))
            for i, value in state.items()
            if i != LOSS
        ]
        moved_by: dict[int, keras.layers.Layer] = {}
        for layer, variable, _ in moves:
            other = moved_by.setdefault(id(variable), layer)
            if other is not layer:
                raise ValueError(
                    f"{self.name}: {other.name} and {layer.name} both move {variable.path}: give "
                    "each one of its own, as of a SeedGenerator"
                )
        for _, variable, value in moves:
            variable.assign(value)

    def _require_states(self, aux: list[Nest]) -> None:
        """Checks that the aux of couplings of the user's own begins with F's and G's.

        Raises:
          TypeError: it does not.
        """
        for found in aux:
            states = [*found[:2]] if isinstance(found, tuple | list) else []
            if len(states) < 2 or not all(isinstance(state, dict) for state in states):
                raise TypeError(
                    f"{self.name}: the aux of a coupling must begin with F's and G's, (aux_f, "
                    f"aux_g, ...), which hold the state that they move; that of {self.coupling!r} "
                    "does not"
                )

    def inverse(self, y: Nest, training: bool = False, mask: Nest = None, **arguments: Any) -> Nest:
        """The input that gives y, up to rounding, or to the bit if exact.

        Raises:
          TypeError, ValueError: as a call.
        """
        self._require_known(arguments)
        mask = mask_of(y) if mask is None else mask
        units, params, context = self._units_and_params(training, mask, arguments)
        with self._other_channels_named(y):
            halves = self._halves(y)
            if context:
                halves = (halves, context)
            for unit, unit_params in zip(reversed(units), reversed(params), strict=True):
                halves = unit.inverse(unit_params, halves)
        return self._joined(halves[0] if context else halves, y)

    def _halves(self, x: Nest) -> tuple[tf.Tensor, ...]:
        is_pair = isinstance(x, list | tuple)
        halves = x if is_pair else tf.split(x, self.sizes or 2, axis=self.split_axis)
        halves = (tf.cast(half, self.variable_dtype) for half in halves)
        return tuple(round_to_grid(half) if self.exact else half for half in halves)

    def _joined(self, halves: abc.Sequence[tf.Tensor], like: Nest) -> Nest:
        """Halves in the form of the layer's input."""
        if isinstance(like, list | tuple):
            return type(like)(halves)
        return tf.concat(halves, axis=self.split_axis)

    def _units_in_budget(self, units: list[Coupling], params: list[Nest], halves: Nest) -> int:
        """Units at the end that the memory budget holds."""
        flat = tf.nest.flatten(halves)
        shapes = tuple(
            (h.shape[0] or self._batch_size, *h.shape[1:]) if h.shape.rank else () for h in flat
        )
        if any(size is None for shape in shapes for size in shape):
            raise ValueError(
                f"{self.name}: memory_budget needs to know the batch size and all others, but a "
                f"half has shape {shapes[0]}: give the model's keras.Input a batch_size, or leave "
                "memory_budget out"
            )
        if shapes not in self._num_that_fit:
            specs = [tf.TensorSpec(s, h.dtype) for s, h in zip(shapes, flat, strict=True)]
            specs = tf.nest.pack_sequence_as(halves, specs)
            found = units_that_fit(units, params, specs, self.memory_budget)
            self._num_that_fit[shapes] = found
        return self._num_that_fit[shapes]

    def _units_and_params(
        self, training: bool | None, mask: Nest, arguments: dict[str, Any]
    ) -> tuple[list[Coupling], list[Nest], dict[str, list[tf.Tensor]]]:
        """(couplings, their parameters, what gradients flow to beside them), of present values."""
        context = context_of(arguments)
        mask1, mask2 = mask if isinstance(mask, list | tuple) else (mask, mask)
        # F reads x2, and G y1.
        options = [arguments | {"training": training, "mask": one} for one in (mask2, mask1)]
        make: Any = self.coupling
        if make in COUPLINGS:
            make = functools.partial(COUPLINGS[make][0], exact=self.exact, axis=self.split_axis)
        pairs = list(zip(self.f_layers, self.g_layers, strict=True))
        params = [tuple(values_of(f.trainable_variables) for f in pair) for pair in pairs]
        states = [tuple(values_of(f.non_trainable_variables) for f in pair) for pair in pairs]

        def unit(pair: tuple[keras.layers.Layer, keras.layers.Layer], state: Nest) -> Coupling:
            made = make(
                *(
                    pure_function(layer, values, others, bool(context))
                    for layer, values, others in zip(pair, state, options, strict=True)
                )
            )
            return WithContext(made) if context else made

        if not self.loop:
            return [unit(*one) for one in zip(pairs, states, strict=True)], params, context
        require_frozen_alike(self.f_layers, f"{self.name}: F")
        require_frozen_alike(self.g_layers, f"{self.name}: G")
        params, states = (
            tf.nest.map_structure(lambda *values: tf.stack(values), *nests)
            for nests in (params, states)
        )

        def unit_at(i: tf.Tensor) -> Coupling:
            return unit(pairs[0], tf.nest.map_structure(lambda stacked: stacked[i], states))

        return [Repeated(unit_at, len(pairs))], [params], context

    # ------------------------------------------------------------------ saving

    def get_config(self) -> dict[str, Any]:
        """For saving."""
        units = zip(self.f_layers, self.g_layers, strict=True)
        serialize = keras.saving.serialize_keras_object
        config = super().get_config()
        config.pop("autocast", None)
        coupling = self.coupling
        return config | {
            "units": [[serialize(f), serialize(g)] for f, g in units],
            "coupling": keras.saving.get_registered_name(coupling)
            if callable(coupling)
            else coupling,
            "split_axis": self.split_axis,
            "exact": self.exact,
            "backprop": self.backprop,
            "sizes": self.sizes and list(self.sizes),
            "memory_budget": self.memory_budget,
            "loop": self.loop,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequence:
        """From what `get_config` returned.

        Raises:
          ValueError: a coupling of the user's own is not registered.
        """
        deserialize, coupling = keras.saving.deserialize_keras_object, config["coupling"]
        units = [tuple(deserialize(layer) for layer in pair) for pair in config["units"]]
        coupling = coupling if coupling in COUPLINGS else registered(coupling)
        return cls(**(config | {"units": units, "coupling": coupling}))


def _spec(value: Any) -> Any:
    """Of a tensor, what F and G are built with; of anything else, itself."""
    if not hasattr(value, "shape"):
        return value
    return keras.KerasTensor(value.shape, keras.backend.standardize_dtype(value.dtype))


def mask_of(x: Nest) -> Nest:
    """Keras' mask of a tensor, or of each of a pair; None without, or of what is symbolic."""
    flat = tf.nest.flatten(x)
    if any(isinstance(t, keras.KerasTensor) for t in flat):
        return None
    masks = [getattr(t, "_keras_mask", None) for t in flat]
    if all(mask is None for mask in masks):
        return None
    return masks if isinstance(x, list | tuple) else masks[0]
