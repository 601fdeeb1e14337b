"""Normalizing flows as a Keras model: densities, samples, and training at constant memory."""

from __future__ import annotations

import functools
import math
from collections import abc
from typing import Any

import keras
import tensorflow as tf

from resnet.reversible.additive import AdditiveCoupling
from resnet.reversible.affine import AffineCoupling
from resnet.reversible.chain import Chain, First, Halves
from resnet.reversible.coupling import Coupling
from resnet.reversible.flows.act_norm import ActNorm
from resnet.reversible.flows.first_batch import first_batch, require_pixels
from resnet.reversible.flows.mixing import InvertibleConv
from resnet.reversible.flows.spline import SplineCoupling
from resnet.reversible.flows.split import Split
from resnet.reversible.gradients import PureFunction
from resnet.reversible.layer_parts import (
    parts_of,
    require_alike,
    require_frozen_alike,
    require_keras_variables,
    state_of,
)
from resnet.reversible.log_determinant import log_determinant, losses_in, sum_per_image
from resnet.reversible.nest import Nest
from resnet.reversible.pure_layer import pure_function, values_of
from resnet.reversible.repeated import Repeated
from resnet.reversible.resampling import Haar, Squeeze
from resnet.reversible.sequence import BACKPROPS, run_sequence

NUM_BINS = 8  # of a spline


def _affine(scale: str) -> abc.Callable[[PureFunction, PureFunction], Coupling]:
    return functools.partial(AffineCoupling, scale=scale, log_determinant=True)


# Name -> (coupling of (f, g), how many numbers F returns for each value it acts on).
FLOW_COUPLINGS: dict[str, tuple[abc.Callable[[PureFunction, PureFunction], Coupling], int]] = {
    "additive": (AdditiveCoupling, 1),
    "affine": (_affine("exp"), 2),
    "affine_tanh": (_affine("tanh"), 2),
    "affine_sigmoid": (_affine("sigmoid"), 2),
    "spline": (functools.partial(SplineCoupling, num_bins=NUM_BINS), 3 * NUM_BINS - 1),
}
DOWNSAMPLINGS = {"squeeze": Squeeze, "haar": Haar}
NORM = ("log_scale", "shift")  # parameters of a unit's ActNorm
CONSTANT = ("permutation", "signs")  # parameters of a unit that are not trained
NO_FLOAT16 = "whose losses would have to be scaled: take mixed_bfloat16 or float32"


def require_known(what: str, value: str | None, known: abc.Collection[str | None]) -> None:
    """Checks a choice.

    Raises:
      ValueError: it is none of `known`.
    """
    if value not in known:
        names = ", ".join(map(repr, known))
        raise ValueError(f"unknown {what} {value!r}: choose one of {names}")


@keras.saving.register_keras_serializable("resnet.reversible")
class Flow(keras.Model):
    """A density of images or vectors (N, ..., C), of levels of invertible units.

    Each level is downsampling, units, and, but for the last, a `Split`: half of the channels
    leave as latents, under a prior that is learned of the others. Each unit is

        ActNorm, InvertibleConv, a coupling of the halves with its F and G

    A call gives log p(x), (N,); `fit(x)` minimises the mean bits per dimension. The backward
    pass keeps the latents alone and restores the rest (see `run_sequence`).

        def net(channels):
            return keras.Sequential([
                keras.layers.Dense(64, "relu"),
                keras.layers.Dense(channels, kernel_initializer="zeros"),
            ])

        flow = reversible.Flow([[(net(2), net(2)) for _ in range(8)]], downsampling=None)
        flow.compile(keras.optimizers.Adam(1e-3))
        flow.fit(points)  # (N, 2)
        flow.sample(1000), flow.log_prob(points)

    Sources: Dinh et al. 2017, https://arxiv.org/abs/1605.08803; Kingma & Dhariwal 2018,
    https://arxiv.org/abs/1807.03039.
    """

    def __init__(
        self,
        levels: abc.Sequence[abc.Sequence[abc.Sequence[keras.layers.Layer]]],
        priors: abc.Sequence[keras.layers.Layer] | None = None,
        coupling: str = "affine_sigmoid",
        downsampling: str | None = "squeeze",
        mixing: bool = True,
        pixel_levels: int | None = None,
        loop: bool = False,
        backprop: str = "reversible",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Makes the model; F, G and priors are built with it.

        Args:
          levels: [[(F, G)]], Keras layers without state, or models of such: F maps the
            second half of the channels to as many numbers for each value of the first as the
            coupling takes: 1 ("additive"), 2 ("affine_sigmoid", "affine_tanh", "affine": scale
            and shift side by side) or 23 ("spline"); G the other way round. Let them begin at
            zeros, as by a last kernel of zeros.
          priors: a layer for each level but the last, which maps half of its channels to as
            many means and as many logarithms of deviations, side by side.
          coupling: one of these; the scale of "affine" is an exp, which can overflow.
          downsampling: at the start of each level, of (N, H, W, C): "squeeze", "haar", or None.
          mixing: whether units have an InvertibleConv.
          pixel_levels: x is whole numbers of 0 to this - 1, such as 256; uniform noise makes a
            density of them, and log p(x) is, in the mean over the noise, a lower bound of their
            probability's. None: x is what the density is of.
          loop: whether the units of a level, which then must be the same but for their
            weights, run in a loop.
          backprop: as in `run_sequence`.
          seed: of the channels' first mixing.
          **kwargs: keras.Model's.

        Raises:
          ValueError: unknown choices, no units, not pairs of layers, or another number of priors.
        """
        # Densities are of the variables' type; F, G and priors cast by policies of their own.
        policy = keras.dtype_policies.get(kwargs.pop("dtype", None) or keras.config.dtype_policy())
        if policy.compute_dtype == "float16":
            raise ValueError(f"dtype is {policy.name}, {NO_FLOAT16}")
        if policy.variable_dtype == "bfloat16":
            raise ValueError(
                f"dtype is {policy.name}, in which densities are too coarse: take mixed_bfloat16, "
                "float32 or float64"
            )
        kwargs.pop("autocast", None)
        super().__init__(autocast=False, dtype=policy.variable_dtype, **kwargs)
        require_known("coupling", coupling, FLOW_COUPLINGS)
        require_known("downsampling", downsampling, (*DOWNSAMPLINGS, None))
        require_known("backprop", backprop, BACKPROPS)
        pairs = [pair for level in levels for pair in level]
        if not pairs or not all(len(level) for level in levels):
            raise ValueError("levels holds no units: give each level a list of pairs (F, G)")
        for pair in pairs:
            is_pair = isinstance(pair, list | tuple) and len(pair) == 2
            if not is_pair or not all(isinstance(part, keras.layers.Layer) for part in pair):
                raise ValueError(f"a unit is {pair!r}, but must be a pair (F, G) of Keras layers")
        priors = list(priors or ())
        if len(priors) != len(levels) - 1:
            raise ValueError(
                f"priors holds {len(priors)} layers, but {len(levels)} levels split "
                f"{len(levels) - 1} times: give a layer for each"
            )
        if pixel_levels is not None and (pixel_levels < 2 or pixel_levels % 1):
            raise ValueError(
                f"pixel_levels is {pixel_levels}, but must be a whole number of 2 or more, or None"
            )
        self.f_layers = [[f for f, _ in level] for level in levels]
        self.g_layers = [[g for _, g in level] for level in levels]
        self.priors, self.coupling, self.downsampling = priors, coupling, downsampling
        self.mixing, self.pixel_levels = mixing, pixel_levels
        self.loop, self.backprop = loop, backprop
        self.seed, self._noise = seed, keras.random.SeedGenerator(seed)
        self._data_shape: tuple[int, ...] = ()
        self._latent_shapes: list[tuple[int, ...]] = []

    # ------------------------------------------------------------------ building

    def build(self, input_shape: abc.Sequence[int | None]) -> None:
        """Builds F, G and priors for data of one shape, and checks what they return."""
        shape: tuple[Any, ...] = tuple(input_shape)
        if len(shape) < 2 or None in shape[1:]:
            raise ValueError(
                f"{self.name}: a density is of (N, ..., C) of known sizes, but was to be built for "
                f"{shape}: give batches of images or vectors that are all of one shape"
            )
        self._data_shape = shape[1:]
        per_value = FLOW_COUPLINGS[self.coupling][1]
        self._units: list[list[dict[str, keras.Variable]]] = []
        self._latent_shapes = []
        for i, (fs, gs) in enumerate(zip(self.f_layers, self.g_layers, strict=True)):
            shape = self._downsampled(shape)
            channels = shape[-1]
            half, other = channels // 2, channels - channels // 2
            if half == 0 or (i < len(self.priors) and channels % 2):
                raise ValueError(
                    f"{self.name}: level {i} has {channels} channels, which are not to be halved: "
                    "give the data more, or fewer levels"
                )
            units = []
            for k, (f, g) in enumerate(zip(fs, gs, strict=True)):
                where = f"of unit {k} in level {i}"
                needs = f"the {self.coupling} coupling"
                self._build_one(f"F {where}", f, (*shape[:-1], other), per_value * half, needs)
                self._build_one(f"G {where}", g, (*shape[:-1], half), per_value * other, needs)
                units.append(self._unit_variables(i, k, channels))
            self._units.append(units)
            if self.loop:
                require_alike(fs, f"{self.name}: F", f" in level {i}")
                require_alike(gs, f"{self.name}: G", f" in level {i}")
            if i < len(self.priors):
                of_half = (*shape[:-1], half)
                self._build_one(f"prior {i}", self.priors[i], of_half, channels, "the split")
                shape = (*shape[:-1], half)
                self._latent_shapes.append(shape[1:])
        self._latent_shapes.append(shape[1:])
        self._adapted = self.add_weight(
            name="adapted", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self.built = True

    def _downsampled(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.downsampling is None:
            return shape
        if len(shape) != 4 or any(side is None or side % 2 for side in shape[1:3]):
            raise ValueError(
                f"{self.name}: {self.downsampling} takes (N, H, W, C) with an even height and "
                f"width, but a level begins with {shape}: give fewer levels, or downsampling None"
            )
        return (shape[0], shape[1] // 2, shape[2] // 2, 4 * shape[3])

    def _build_one(
        self,
        role: str,
        layer: keras.layers.Layer,
        shape: tuple[Any, ...],
        wanted: int,
        needs: str,
    ) -> None:
        if any(part.compute_dtype == "float16" for part in parts_of(layer)):
            raise ValueError(
                f"{self.name}: {role} ({layer.name}) computes in float16, {NO_FLOAT16}"
            )
        found = tuple(layer(keras.KerasTensor(shape, self.variable_dtype)).shape)
        require_keras_variables(layer)
        if found != (*shape[:-1], wanted):
            raise ValueError(
                f"{self.name}: {role} ({layer.name}) maps shape {shape} to {found}, but {needs} "
                f"needs {(*shape[:-1], wanted)}"
            )
        if state := state_of(layer):
            names = ", ".join(v.path for v in state[:2])
            raise ValueError(
                f"{self.name}: {role} ({layer.name}) holds state ({names}), which a flow does not "
                "move: take layers without, since ActNorm normalises what they are given"
            )

    def _unit_variables(self, level: int, unit: int, channels: int) -> dict[str, keras.Variable]:
        """{name: variable} of a unit's ActNorm and InvertibleConv."""
        initial = {name: tf.zeros(channels) for name in NORM}
        if self.mixing:
            initial |= InvertibleConv.rotation(channels, self.seed + 1000 * level + unit)
        return {
            name: self.add_weight(
                name=f"level_{level}_unit_{unit}_{name}",
                shape=value.shape,
                initializer=lambda *_, value=value, **__: tf.cast(value, self.variable_dtype),
                trainable=name not in CONSTANT,
            )
            for name, value in initial.items()
        }

    # ------------------------------------------------------------------ the sequence

    def _level(
        self, i: int, training: bool | None, loop: bool
    ) -> tuple[list[Coupling], list[Nest]]:
        """(couplings, their parameters) of a level's units, of a single tensor."""
        make = FLOW_COUPLINGS[self.coupling][0]
        pairs = list(zip(self.f_layers[i], self.g_layers[i], strict=True))
        params = []
        for own, pair in zip(self._units[i], pairs, strict=True):
            values = {name: tf.convert_to_tensor(v.value) for name, v in own.items()}
            norm = {name: values.pop(name) for name in NORM}
            of_pair = tuple(values_of(layer.trainable_variables) for layer in pair)
            params.append([norm, *([values] if self.mixing else []), of_pair])
        frozen = [tuple(values_of(f.non_trainable_variables) for f in pair) for pair in pairs]

        def unit(pair: tuple[keras.layers.Layer, ...], values: Nest) -> Coupling:
            f, g = (
                pure_function(layer, others, {"training": training})
                for layer, others in zip(pair, values, strict=True)
            )
            mixing = [InvertibleConv()] if self.mixing else []
            return Chain([ActNorm(), *mixing, Halves(make(f, g))])

        if not loop:
            return [unit(*one) for one in zip(pairs, frozen, strict=True)], params
        require_frozen_alike(self.f_layers[i], f"{self.name}: F", f" in level {i}")
        require_frozen_alike(self.g_layers[i], f"{self.name}: G", f" in level {i}")
        params, frozen = (
            tf.nest.map_structure(lambda *parts: tf.stack(parts), *nests)
            for nests in (params, frozen)
        )

        def unit_at(k: tf.Tensor) -> Coupling:
            return unit(pairs[0], tf.nest.map_structure(lambda stacked: stacked[k], frozen))

        return [Repeated(unit_at, len(pairs))], [params]

    def _split(self, i: int, training: bool | None) -> tuple[Split, list[tf.Tensor]]:
        """(what halves the channels behind level i, its parameters)."""
        prior = self.priors[i]
        frozen = values_of(prior.non_trainable_variables)
        split = Split(pure_function(prior, frozen, {"training": training}))
        return split, values_of(prior.trainable_variables)

    def _couplings(self, training: bool | None) -> tuple[list[Coupling], list[Nest]]:
        """(couplings, their parameters) of (x, latents)."""
        couplings: list[Coupling] = []
        params: list[Nest] = []
        for i in range(len(self.f_layers)):
            if self.downsampling is not None:
                couplings.append(First(DOWNSAMPLINGS[self.downsampling]()))
                params.append(())
            units, units_params = self._level(i, training, self.loop)
            couplings += [First(unit) for unit in units]
            params += units_params
            if i < len(self.priors):
                split, values = self._split(i, training)
                couplings.append(split)
                params.append(values)
        return couplings, params

    # ------------------------------------------------------------------ densities

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """log p(x), natural logarithm, (N,)."""
        x, log = self._continuous(x)
        couplings, params = self._couplings(training)
        (x, latents), aux = run_sequence(couplings, params, (x, ()), self.backprop)
        log += log_determinant(aux)
        losses = losses_in(aux)
        if losses:
            self.add_loss(tf.add_n([tf.reduce_sum(tf.cast(t, log.dtype)) for t in losses]))
        for z in (*latents, x):
            log -= sum_per_image(0.5 * z**2 + 0.5 * math.log(2 * math.pi))
        return log

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log p(x), natural logarithm, (N,); with pixel_levels, of new noise.

        Then its mean over the noise is a lower bound of the logarithm of the probability.
        """
        return self(x, training=False)

    def bits_per_dimension(self, x: tf.Tensor) -> tf.Tensor:
        """-log2 p(x) over the number of values in an x, (N,)."""
        return -self.log_prob(x) / (math.log(2) * self.num_dimensions)

    @property
    def num_dimensions(self) -> int:
        """How many values an x has."""
        return math.prod(self._data_shape) if self.built else 0

    def _continuous(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(x as the couplings take it, the logarithm of what that does to densities, (N,)).

        Raises:
          ValueError: the flow is not built, or for another shape; x holds what are no pixels.
        """
        self._require_built()
        x = self._of_shape(x, self._data_shape, "a density of")
        log = tf.zeros(tf.shape(x)[:1], x.dtype)
        if self.pixel_levels is None:
            return x, log
        if tf.executing_eagerly():  # as the first batch of a training is looked at
            require_pixels(x, self.pixel_levels, self.name)
        noise = keras.random.uniform(tf.shape(x), dtype=x.dtype, seed=self._noise)
        return (x + noise) / self.pixel_levels - 0.5, log - self._log_levels()

    def _require_built(self) -> None:
        if not self.built:
            raise ValueError(f"{self.name} has not seen data: call it, fit it or build it first")

    def _of_shape(self, x: Any, shape: tuple[int, ...], what: str) -> tf.Tensor:
        """x, in the flow's type, if each of it is of that shape."""
        x = tf.cast(x, self.variable_dtype)
        if not x.shape.is_compatible_with((None, *shape)):
            raise ValueError(
                f"{self.name}: this is {what} shape {shape}, but was given {tuple(x.shape)}: "
                "give what it was built for, or build another flow"
            )
        return tf.ensure_shape(x, (None, *shape))

    def _log_levels(self) -> float:
        return self.num_dimensions * math.log(self.pixel_levels or 1)

    # ------------------------------------------------------------------ latents and samples

    def latents(self, x: tf.Tensor) -> list[tf.Tensor]:
        """What is normal of x: the latents of each level, the last level's last."""
        x, _ = self._continuous(x)
        couplings, params = self._couplings(False)
        (x, latents), _ = run_sequence(couplings, params, (x, ()), "stored")
        return [*latents, x]

    def inverse(self, latents: abc.Sequence[tf.Tensor]) -> tf.Tensor:
        """x of latents; with pixel_levels, before it is made whole, in [-0.5, 0.5] or beyond.

        Args:
          latents: a list, as of `latents`.

        Raises:
          ValueError: the flow is not built, or has other latents.
        """
        self._require_built()
        if not isinstance(latents, list | tuple) or len(latents) != len(self._latent_shapes):
            raise ValueError(
                f"{self.name}: the inverse takes a list of {len(self._latent_shapes)}, the latents "
                f"of each level, each of them (N, ...): {self._latent_shapes}"
            )
        *rest, x = (
            self._of_shape(z, shape, "a latent of")
            for z, shape in zip(latents, self._latent_shapes, strict=True)
        )
        state: Nest = (x, tuple(rest))
        couplings, params = self._couplings(False)
        for coupling, own in zip(couplings[::-1], params[::-1], strict=True):
            state = coupling.inverse(own, state)
        return state[0]

    def sample(
        self, num_samples: int, temperature: float = 1.0, seed: int | None = None
    ) -> tf.Tensor:
        """Draws from the density.

        Args:
          num_samples: N.
          temperature: deviation of the latents; below 1, samples are more likely ones.
          seed: of the draw; default: drawn.

        Returns:
          (N, ...); with pixel_levels, whole numbers, int32.

        Raises:
          ValueError: the shape of x is not known yet, or a temperature below 0.
        """
        self._require_built()
        if temperature < 0:
            raise ValueError(f"temperature is {temperature}, but must be 0 or more")

        def draw(level: int, shape: tuple[int, ...]) -> tf.Tensor:
            size, dtype = [num_samples, *shape], self.variable_dtype
            if seed is None:
                return tf.random.normal(size, dtype=dtype)
            return tf.random.stateless_normal(size, [seed, level], dtype=dtype)

        drawn = [temperature * draw(i, shape) for i, shape in enumerate(self._latent_shapes)]
        x = self.inverse(drawn)
        if self.pixel_levels is None:
            return x
        whole = tf.floor((x + 0.5) * self.pixel_levels)
        return tf.cast(tf.clip_by_value(whole, 0, self.pixel_levels - 1), tf.int32)

    # ------------------------------------------------------------------ training

    def adapt(self, x: tf.Tensor) -> None:
        """Fits every ActNorm to a batch, so that each unit begins with mean 0 and deviation 1.

        Raises:
          ValueError: a batch of nothing, of another shape, or of what are no pixels.
        """
        if not self.built:
            self.build((None, *x.shape[1:]))
        if not len(x):
            raise ValueError(f"{self.name}: a batch of nothing, {tuple(x.shape)}, to adapt to")
        x, _ = self._continuous(x)
        for i in range(len(self.f_layers)):
            if self.downsampling is not None:
                x, _ = DOWNSAMPLINGS[self.downsampling]().forward((), x)
            for k, own in enumerate(self._units[i]):
                for name, value in ActNorm.fitted(x).items():
                    own[name].assign(value)
                couplings, params = self._level(i, False, loop=False)
                x, _ = couplings[k].forward(params[k], x)
            if i < len(self.priors):
                split, values = self._split(i, False)
                (x, _), _ = split.forward(values, (x, ()))
        self._adapted.assign(1)

    def _is_new(self) -> bool:
        """Whether neither `adapt` nor a training has moved an ActNorm."""
        if not self.built:
            return True
        norms = [own[name] for level in self._units for own in level for name in NORM]
        # Not `_adapted` alone, which no training sets that goes around `fit`.
        moved = any(bool(tf.reduce_any(tf.not_equal(v.value, 0))) for v in norms)
        return not (moved or bool(self._adapted.value))

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """As every Keras model's; a new flow is adapted to the first batch.

        Raises:
          ValueError: it was compiled with a loss: a flow has one of its own.
        """
        if self.loss is not None:
            raise ValueError(
                f"the flow was compiled with loss {self.loss!r}, but trains its own, bits per "
                "dimension: compile it without one"
            )
        if self._is_new():
            batch_size = kwargs.get("batch_size") or (args[0] if args else None) or 32
            batch, x = first_batch(x, batch_size)
            if batch is not None:
                with self.distribute_strategy.scope():
                    self.adapt(tf.convert_to_tensor(batch))
        held_out = kwargs.get("validation_data")
        if isinstance(held_out, tuple) and len(held_out) == 3:
            kwargs["validation_data"] = (held_out[0], _some(*held_out[1:]), held_out[2])
        return super().fit(x, _some(y, kwargs.get("sample_weight")), *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As every Keras model's: bits per dimension."""
        return super().evaluate(x, _some(y, kwargs.get("sample_weight")), *args, **kwargs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Mean bits per dimension, times each one's weight, and what F and G add with add_loss.

        Of a replica, its share of that: gradients are added up over replicas.
        """
        if sample_weight is not None:
            y_pred = y_pred * tf.cast(tf.reshape(sample_weight, tf.shape(y_pred)), y_pred.dtype)
        loss = -tf.reduce_mean(y_pred) / (math.log(2) * self.num_dimensions)
        num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return tf.add_n([loss, *self.losses]) / num_replicas

    # ------------------------------------------------------------------ saving

    def get_config(self) -> dict[str, Any]:
        """For saving."""
        serialize = keras.saving.serialize_keras_object
        pairs = [
            [[serialize(f), serialize(g)] for f, g in zip(fs, gs, strict=True)]
            for fs, gs in zip(self.f_layers, self.g_layers, strict=True)
        ]
        return super().get_config() | {
            "levels": pairs,
            "priors": [serialize(prior) for prior in self.priors],
            "coupling": self.coupling,
            "downsampling": self.downsampling,
            "mixing": self.mixing,
            "pixel_levels": self.pixel_levels,
            "loop": self.loop,
            "backprop": self.backprop,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Flow:
        """From what `get_config` returned."""
        deserialize = functools.partial(
            keras.saving.deserialize_keras_object, custom_objects=custom_objects
        )
        levels = [
            [tuple(deserialize(layer) for layer in pair) for pair in level]
            for level in config["levels"]
        ]
        priors = [deserialize(prior) for prior in config["priors"]]
        return cls(**(config | {"levels": levels, "priors": priors}))


def _some(y: Any, weights: Any) -> Any:
    """A y, which nobody reads: without one, Keras drops weights that are given."""
    return weights if y is None else y
