"""The network: its blocks, the parameters they have, and what they compute."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from resnet.configs import Config
from resnet.errors import UsageError
from resnet.models.cost import stage_sides, units_to_keep
from resnet.models.families import family_of
from resnet.models.layers import IMAGE_CHANNELS
from resnet.models.parameters import Parameter, prefixed, under
from resnet.models.stages import LOOP_FROM, invert_stages, reconstruct, run_stages, seed_at
from resnet.models.stem_in_parts import run_in_parts, values_again
from resnet.reversible import after, count_past_exact_range, recompute, round_to_grid
from resnet.reversible.gradients import PureFunction
from resnet.reversible.nest import Nest
from resnet.settings import Computation, wrong

SCOPE = "Model"  # revnet-public's name of the whole model
STAGE_SEEDS = 2**32  # apart: more than there are residual functions in a stage


def is_stacked(storage_name: str) -> bool:
    """Whether the tensors of several units share this one, with the unit as leading axis."""
    return "/units/" in storage_name


class Network:
    """The structure of a ResNet, RevNet, i-RevNet or VGG; it holds no values.

    Each tensor has a public name, revnet-public's where that has one (such as
    Model/unit_1_0/f/sub1/conv1/w). In storage the equal units of a stage share one
    tensor, with the unit as leading axis.

    Attributes:
      config: the resnet.configs.Config.
      family: the Family that built it.
      computation: the resnet.settings.Computation: how it computes.
      extra_bytes: activations that may be stored beyond reversible backprop's, per image.
      stem, stages, head: the network's blocks, input to output.
    """

    def __init__(
        self,
        config: Config,
        computation: Computation,
        images_at_once: int = 1,
        include_top: bool = True,
        has_raw_features: bool = False,
    ) -> None:
        """Lists the blocks.

        Args:
          config: Config.
          computation: Computation.
          images_at_once: images that share a device's memory, and its memory budget.
          include_top: whether the output is logits, or features: what their mean is taken of.
          has_raw_features: whether features are the stages' output as it is, without the head's
            batch norm and ReLU.

        Raises:
          SettingError (a ValueError): an unknown family; fields of the config or of the
            computation that do not fit it, or each other; images_at_once below 1.
        """
        if not hasattr(images_at_once, "__index__") or images_at_once < 1:
            raise wrong("", "images_at_once", images_at_once, "an integer from 1")
        self.config, self.computation, self.family = config, computation, family_of(config)
        self.family.check(config)
        self.family.check_computation(config, computation)
        self.extra_bytes = (computation.memory_budget or 0) / images_at_once
        self.stem = self.family.stem(config, computation)
        self.stages = self.family.stages(config, computation)
        head = self.family.head(config)
        activates = head.activate_first and (include_top or not has_raw_features)
        self.head = dataclasses.replace(head, activate_first=activates, include_top=include_top)
        if computation.backprop == "reversible":
            self._choose_kept()

    # ------------------------------------------------------------------ structure

    def _choose_kept(self) -> None:
        """Lets stages store the activations of those units at their ends that there is room for."""
        kept = units_to_keep(self, self.extra_bytes)
        for s, stage in enumerate(self.stages):
            # Where there are many, a few that are kept for nothing save next to nothing,
            # and the parameters of all would have to be copied.
            if self.extra_bytes or stage.num_others < LOOP_FROM:
                self.stages[s] = dataclasses.replace(stage, num_kept=kept[s])

    # ------------------------------------------------------------------ parameters

    def storage(self) -> Iterator[tuple[str, Parameter, list[str]]]:
        """Yields (storage name, Parameter, public names); several names share a stack."""
        for name, parameter in self.stem.parameters().items():
            yield name, parameter, [f"{SCOPE}/{name}"]
        for s, stage in enumerate(self.stages, 1):
            for name, parameter in stage.start_parameters().items():
                yield f"stage_{s}/start/{name}", parameter, [f"{SCOPE}/unit_{s}_0/{name}"]
            others = range(1, stage.num_others + 1)
            for name, parameter in stage.unit_parameters().items() if others else ():
                public = [f"{SCOPE}/unit_{s}_{u}/{name}" for u in others]
                yield f"stage_{s}/units/{name}", parameter, public
        for name, parameter in self.head.parameters().items():
            yield name, parameter, [f"{SCOPE}/{name}"]

    def checked(self, images: tf.Tensor) -> tf.Tensor:
        """Images as float32.

        Raises:
          UsageError (a ValueError): their shape is not (N, H, W, 3) of the config's size.
        """
        images = tf.convert_to_tensor(images)
        self.require_images(images.shape)
        return tf.cast(images, tf.float32)

    def require_images(self, shape: tf.TensorShape | Sequence[int | None]) -> None:
        """Checks the shape of images, in which None is any number.

        Raises:
          UsageError (a ValueError): it is not (N, H, W, 3) of the config's size.
        """
        size, found = self.config.image_size, tf.TensorShape(shape)
        if not found[1:].is_compatible_with([size, size, IMAGE_CHANNELS]):
            raise UsageError(
                f"images have shape {tuple(found)}, but {self.config.name} takes "
                f"(N, {size}, {size}, {IMAGE_CHANNELS}): resize them, channels last, or take a "
                "config with another image_size"
            )

    def initial_values(self, seed: int) -> Iterator[tuple[str, Parameter, list[str], tf.Tensor]]:
        """Yields (storage name, Parameter, public names, initial value, stacked where shared).

        Raises:
          SettingError (a ValueError): a seed that is no integer, or one that int64 does not hold.
        """
        is_integer = hasattr(seed, "__index__") and not isinstance(seed, bool)
        if not is_integer or not -(2**63) <= seed < 2**63:
            raise wrong("", "seed", seed, "an integer in [-2^63, 2^63)")
        for name, parameter, public in self.storage():
            values = [parameter.initial_value(p, seed, self.config.initializer) for p in public]
            yield name, parameter, public, tf.stack(values) if is_stacked(name) else values[0]

    def names_by_unit(self) -> list[list[str]]:
        """[[public name]]: those of the stem, of each unit and of the head, in order."""
        found = [[f"{SCOPE}/{name}" for name in self.stem.parameters()]]
        for s, stage in enumerate(self.stages, 1):
            for unit in range(1 + stage.num_others):
                names = stage.unit_parameters() if unit else stage.start_parameters()
                found.append([f"{SCOPE}/unit_{s}_{unit}/{name}" for name in names])
        return [*found, [f"{SCOPE}/{name}" for name in self.head.parameters()]]

    def parameters_by_name(self) -> dict[str, Parameter]:
        """{public name: Parameter}: shape and kind of every tensor, moving averages too."""
        found: dict[str, Parameter] = {}
        for _, parameter, public in self.storage():
            found |= dict.fromkeys(public, parameter)
        return found

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(classes,), or of features (H, W, channels)."""
        return (self.config.num_classes,) if self.head.include_top else self.features_shape

    @property
    def features_shape(self) -> tuple[int, int, int]:
        """(H, W, channels) of what the mean over pixels is taken of."""
        side = stage_sides(self)[-1]
        return (side, side, self.head.channels)

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.size for p in self.parameters_by_name().values() if not p.is_statistic)

    # ----------------------------------------------------------------- computation

    def apply(
        self,
        values: Mapping[str, tf.Tensor],
        images: tf.Tensor,
        training: bool,
        seed: tf.Tensor | None = None,
        units_of: Callable[[str], Any] | None = None,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor]:
        """The network as a pure function.

        Args:
          values: {storage name: tensor}; in training the moving averages may lack.
          images: (N, H, W, 3) float, preprocessed.
          training: whether batch norm uses the batch's statistics, and values are dropped.
          seed: (2,) int64 that says which values dropout drops; default: drawn.
          units_of: (prefix of storage names) -> training.fused.Units, whose weights `values`
            lacks: they are updated in the backward pass, and the function is not pure.

        Returns:
          (logits, statistics, past_exact_range): (N, classes) or features, float32; {storage
          name: batch statistic} (empty in evaluation); int32 number of tensors
          of the residual stream with values past the exact range (0 if not exact).
        """
        with tf.name_scope("stem"):
            x, statistics, x_again = self._apply_stem(values, images, training)
        past = [count_past_exact_range(*x)] if self.computation.exact else []
        seed = self._dropout_seed(training, seed)
        for places, stages, params, seeds in self._sequences(values, seed):
            own = [units_of(f"stage_{s}/units/") for s in places] if units_of else None
            with tf.name_scope("stage_" + "_".join(map(str, places))):
                x, found, count = run_stages(stages, params, x, training, seeds, own, x_again)
            x_again = None
            for s, statistics_of in zip(places, found, strict=True):
                statistics = statistics | prefixed(f"stage_{s}", statistics_of)
            past.append(count)
        with tf.name_scope("head"):
            x = tf.concat(x, axis=-1) if self.family.num_halves == 2 else x
            logits, found = self.head(values, x, training)
        return logits, statistics | found, tf.add_n(past)

    def _dropout_seed(self, training: bool, seed: tf.Tensor | None) -> tf.Tensor | None:
        """`seed`, or one that is drawn, if anything is dropped; else None."""
        if not self.config.dropout or not training:
            return None
        if seed is None:
            return tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int64)
        return tf.convert_to_tensor(seed, tf.int64)

    def _apply_stem(
        self, values: Mapping[str, tf.Tensor], images: tf.Tensor, training: bool
    ) -> tuple[Nest, dict[str, tf.Tensor], Callable[[Nest], Nest] | None]:
        """What the first stage takes, the stem's statistics, and what makes the former anew."""
        params = {
            name: values[name]
            for name, parameter in self.stem.parameters().items()
            if not (training and parameter.is_statistic)
        }

        def stem(params: Nest, images: Nest) -> tuple[Nest, Nest]:
            return self.stem(params, images, training)

        def stream(x: tf.Tensor) -> Nest:
            x = tuple(tf.split(x, 2, axis=-1)) if self.family.num_halves == 2 else x
            return tuple(round_to_grid(half) for half in x) if self.computation.exact else x

        def again(dependencies: Nest) -> Nest:
            with tf.name_scope("stem/backward/"):
                ready = after(dependencies, images)
                return stream(values_again(self.stem, params, ready, statistics))

        run: PureFunction = stem
        if training and self.stem.is_large:
            run = functools.partial(run_in_parts, self.stem)
        elif training and self.computation.backprop != "stored" and self.stem.parameters():
            run = recompute(stem)  # only the images are kept
        x, statistics = run(params, images)
        return stream(x), statistics, again if training and self.stem.is_large else None

    def reconstruction_error(
        self,
        values: Mapping[str, tf.Tensor],
        images: tf.Tensor,
        seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Largest error of a value that a RevNet's stages restore in training.

        Args:
          values: {storage name: tensor}.
          images: (N, H, W, 3) float, preprocessed.
          seed: as in `apply`.

        Returns:
          float32 scalar, relative to the largest value of the stage's stream.

        Raises:
          UsageError (a ValueError): the network is no RevNet.
        """
        if not self.family.is_reversible:
            raise UsageError(
                f"{self.config.name} is a {self.family.title}, whose units restore nothing: take a "
                "RevNet, such as revnet-38"
            )
        x, _, _ = self._apply_stem(values, images, training=True)
        seed, errors = self._dropout_seed(True, seed), []
        for _, stages, params, seeds in self._sequences(values, seed):
            x, error = reconstruct(stages, params, x, seeds)
            errors.append(error)
        return tf.reduce_max(errors)

    def invert(self, values: Mapping[str, tf.Tensor], features: tf.Tensor) -> tf.Tensor:
        """The images of features, which `apply` in evaluation returned for them.

        Args:
          values: {storage name: tensor}.
          features: (N, H, W, channels) float32.

        Returns:
          (N, H, W, 3) float32: the images, rounded to the grid if exact.

        Raises:
          UsageError (a ValueError): the network cannot be inverted, or another shape.
        """
        if not self.family.inverts:
            raise UsageError(
                f"{self.config.name} is a {self.family.title}, which has no inverse as a whole: "
                "take an i-RevNet, such as irevnet-38"
            )
        features = tf.convert_to_tensor(features, tf.float32)
        shape = self.features_shape
        if not features.shape[1:].is_compatible_with(shape):
            raise UsageError(
                f"features have shape {tuple(features.shape)}, but those of {self.config.name} "
                f"have (N, {', '.join(map(str, shape))})"
            )
        x = tuple(tf.split(features, 2, axis=-1))
        for _, stages, params, _ in reversed(list(self._sequences(values, None))):
            x = invert_stages(stages, params, x)
        return self.stem.invert(tf.concat(x, axis=-1))

    def _sequences(
        self, values: Mapping[str, tf.Tensor], seed: tf.Tensor | None
    ) -> Iterator[tuple[list[int], list[Any], list[dict[str, tf.Tensor]], list[Nest]]]:
        """Yields (places, stages, their parameters, their seeds) of stages that run as one."""
        places = list(range(1, len(self.stages) + 1))
        for group in [places] if self.family.inverts else [[s] for s in places]:
            yield (
                group,
                [self.stages[s - 1] for s in group],
                [under(f"stage_{s}", values) for s in group],
                [seed_at(seed, s * STAGE_SEEDS) for s in group],
            )
