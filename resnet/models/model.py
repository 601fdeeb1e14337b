"""The model: a network with variables; loss and gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from resnet.configs import Config
from resnet.errors import UsageError
from resnet.labels import MixedLabels
from resnet.models.layers import move_average
from resnet.models.loss import cross_entropy
from resnet.models.network import Network, is_stacked
from resnet.models.summary import summary_text
from resnet.pixels import Scaling, prepare
from resnet.reversible.ordering import after
from resnet.settings import Computation


class Model(tf.Module):
    """A ResNet, RevNet or VGG for image classification: a network with variables.

    Weights are float32 whatever the type of the arithmetic. Checkpoints, gradients and
    reports use their public names.

    Attributes:
      network: the Network.
      config, computation: the network's Config and Computation.
      variables_by_storage_name: {name: tf.Variable}.
      scaling, label_names: how pixels are prepared, a Scaling, and the classes' names, a tuple;
        None but for trained weights that `get_model` loaded.
    """

    def __init__(
        self,
        config: Config,
        computation: Computation,
        seed: int | None = None,
        images_at_once: int = 1,
        variables: dict[str, tf.Variable] | None = None,
        include_top: bool = True,
    ) -> None:
        """Builds the model with initial weights.

        Args:
          config: Config.
          computation: Computation; `computation_for` has the family's defaults.
          seed: of the initial weights; default config.seed.
          images_at_once: as in `Network`.
          variables: {storage name: tf.Variable} to compute with, another model's; default:
            its own.
          include_top: as in `Network`.

        Raises:
          SettingError (a ValueError): as `Network`.
        """
        super().__init__(name="model")  # a config may have a name that is none of Python's
        self.network = Network(config, computation, images_at_once, include_top)
        self.config, self.computation = config, computation
        self.scaling: Scaling | None = None
        self.label_names: tuple[str, ...] | None = None
        storage = list(self.network.storage())
        self._parameters = {name: parameter for name, parameter, _ in storage}  # of one unit
        self._public_names = {name: public for name, _, public in storage}
        if variables is None:
            variables = self._initial_variables(config.seed if seed is None else seed)
        self.variables_by_storage_name = variables

    # -------------------------------------------------------------- names and values

    def _initial_variables(self, seed: int) -> dict[str, tf.Variable]:
        return {
            name: tf.Variable(
                initial,
                trainable=not parameter.is_statistic,
                # Replicas compute the same update: gradients and statistics are averaged first.
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name=name.replace("/", "_"),
            )
            for name, parameter, _, initial in self.network.initial_values(seed)
        }

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        return self.network.num_parameters

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints a line for each block: output for one image, number of parameters.

        Args:
          print_fn: what takes the text, in place of print.
        """
        print_fn(summary_text(self.network))

    def public_names(self, storage_names: Iterable[str]) -> list[str]:
        """The public names of what some storage names hold."""
        return [public for name in storage_names for public in self._public_names[name]]

    def to_public(self, values: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """{storage name: tensor} -> {public name: tensor}, stacks taken apart."""
        found: dict[str, tf.Tensor] = {}
        for name, value in values.items():
            public = self._public_names[name]
            parts = tf.unstack(value, len(public)) if is_stacked(name) else [value]
            found |= dict(zip(public, parts, strict=True))
        return found

    def to_storage(self, values: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """{public name: tensor} -> {storage name: tensor}, stacked: inverts `to_public`."""
        found = {}
        for name, public in self._public_names.items():
            if all(p in values for p in public):
                parts = [values[p] for p in public]
                # Lists of arrays take tf.stack many times as long.
                stack = np.stack if isinstance(parts[0], np.ndarray) else tf.stack
                found[name] = stack(parts) if is_stacked(name) else parts[0]
        return found

    def get_weights(self) -> dict[str, np.ndarray]:
        """{public name: numpy array} of all variables, moving averages too."""
        return {name: value.numpy() for name, value in self.to_public(self._values()).items()}

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Assigns {public name: array}; every name and shape must be the model's.

        Raises:
          UsageError (a ValueError): not named, missing or extra names, a wrong shape or type;
            nothing is assigned.
        """
        self.assign_public(self.variables_by_storage_name, weights)

    def assign_public(
        self, variables: Mapping[str, tf.Variable], values: Mapping[str, np.ndarray]
    ) -> None:
        """Assigns {public name: array} to {storage name: variable}, all or nothing.

        Raises:
          UsageError (a ValueError): as `set_weights`.
        """
        self.check_public(variables, values)
        # Before anything is assigned: tensors of other types are errors there.
        arrays = {name: np.asarray(values[name], np.float32) for name in values}
        for name, value in self.to_storage(arrays).items():
            variables[name].assign(value)

    def check_public(
        self, variables: Mapping[str, tf.Variable], values: Mapping[str, np.ndarray]
    ) -> None:
        """Raises what `assign_public` would, and assigns nothing."""
        if not isinstance(values, Mapping):
            raise UsageError(
                f"weights are a {type(values).__name__}, but must be {{public name: array}}, as "
                "get_weights returns"
            )
        wanted = {p: self._parameters[n].shape for n in variables for p in self._public_names[n]}
        missing, extra = sorted(wanted.keys() - values), sorted(values.keys() - wanted)
        if missing or extra:
            raise UsageError(
                f"the weights do not fit {self.config.name}: "
                + "; ".join(
                    f"{len(names)} {what}, such as {', '.join(names[:3])}"
                    for what, names in (("missing", missing), ("unknown", extra))
                    if names
                )
            )
        for name, shape in wanted.items():
            try:
                found = np.shape(values[name])
            except ValueError:
                found = None  # lists of several lengths
            if found != shape:
                raise UsageError(
                    f"the weights do not fit {self.config.name}: {name} has shape "
                    f"{found}, but must have {shape}"
                )
            if (kind := np.asarray(values[name]).dtype).kind in "OSUbcmM":
                raise UsageError(
                    f"the weights do not fit {self.config.name}: {name} is of type {kind}, but "
                    "must be of real numbers"
                )

    @property
    def trainable_by_storage_name(self) -> dict[str, tf.Variable]:
        """{storage name: variable} of the trained variables."""
        return self._select(statistics=False)

    @property
    def statistics_by_storage_name(self) -> dict[str, tf.Variable]:
        """{storage name: variable} of the moving averages."""
        return self._select(statistics=True)

    def _select(self, statistics: bool) -> dict[str, tf.Variable]:
        return {
            name: v
            for name, v in self.variables_by_storage_name.items()
            if self._parameters[name].is_statistic == statistics
        }

    # ------------------------------------------------------------------ computation

    def prepare(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """What the model takes, of pixels.

        Args:
          images: (N, H, W, 3) or one of (H, W, 3), of 0 to 255, uint8 or float.

        Returns:
          (N, H, W, 3) float32; N = 1 for one image.

        Raises:
          UsageError (a ValueError): the model has no trained weights that say how, or the
            images have another shape.
        """
        return prepare(self.scaling, images)

    def reconstruction_error(self, images: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Largest error of a value that a RevNet's stages restore in training.

        Args:
          images: (N, H, W, 3) float, preprocessed.
          seed: as in `forward_and_backward`.

        Returns:
          float32 scalar, relative to the largest value of the stage's stream.

        Raises:
          UsageError (a ValueError): the network is no RevNet.
        """
        values = {n: tf.convert_to_tensor(v) for n, v in self.trainable_by_storage_name.items()}
        return self.network.reconstruction_error(values, self.network.checked(images), seed)

    def variant(self, backprop: str, dtype: str | None = None) -> Model:
        """A model that computes otherwise with the same variables, without loop and budget.

        Args:
          backprop, dtype: as in Computation; default of dtype: this model's.
        """
        computation = Computation(
            backprop=backprop, dtype=dtype or self.computation.dtype, exact=self.computation.exact
        )
        return Model(self.config, computation, variables=self.variables_by_storage_name)

    def __call__(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Classifies images.

        Args:
          images: (N, H, W, 3) float, preprocessed as the config's data set is.
          training: whether batch norm uses the batch's statistics; if so, the
            moving averages move.

        Returns:
          logits: (N, classes) float32.
        """
        images = self.network.checked(images)
        logits, statistics, _ = self.network.apply(self._values(), images, training)
        if training:
            self.update_moving_averages(statistics)
        return logits

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """What the mean over pixels is taken of, in evaluation; an i-RevNet's stream before that.

        Behind an i-RevNet's stream, which `invert` takes, come batch norm and ReLU, and the mean.

        Args:
          images: (N, H, W, 3) float, preprocessed as the config's data set is.

        Returns:
          (N, h, w, channels) float32.
        """
        images = self.network.checked(images)
        return self._features.apply(self._values(), images, training=False)[0]

    def invert(self, features: tf.Tensor) -> tf.Tensor:
        """The images of features: the inverse of `features`, of an i-RevNet.

        In exact mode every bit comes back of images on the grid, multiples of 2**-12, as whole
        pixels are with preprocessor "cifar-grid"; of others, what they were rounded to. The
        batch must be the same: with another number of images, arithmetic may round otherwise.

        Args:
          features: (N, h, w, channels) float32.

        Returns:
          (N, H, W, 3) float32.

        Raises:
          UsageError (a ValueError): another kind of network, or features of another shape.
        """
        return self.network.invert(self._values(), features)

    @functools.cached_property
    def _features(self) -> Network:
        """The network without its top, or head, if it inverts: batch norm and ReLU do not."""
        is_raw = self.network.family.inverts
        return Network(self.config, self.computation, include_top=False, has_raw_features=is_raw)

    def _values(self) -> dict[str, tf.Tensor]:
        return {n: tf.convert_to_tensor(v) for n, v in self.variables_by_storage_name.items()}

    def loss_and_gradients(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Loss and gradients of one batch in training mode; moving averages move.

        Args:
          images: (N, H, W, 3) float, preprocessed.
          labels: (N,) integers in [0, classes); in a `tf.function`, what they are is not looked
            at.

        Returns:
          (loss, gradients): the mean cross-entropy, float32 scalar, without weight
          decay; {public name: gradient}, with it: + weight_decay * w for weights of
          convolutions and of the fully connected layer (with the config's decay_all, for
          all), unless it is decoupled.

        Raises:
          UsageError (a ValueError): images or labels are of another shape, type or range.
        """
        images = self.network.checked(images)
        labels = self._checked_labels(labels, images.shape[0])
        result = self.forward_and_backward(images, labels)
        self.update_moving_averages(result["statistics"])
        return result["loss"], self.to_public(result["gradients"])

    def _checked_labels(self, labels: tf.Tensor, num_images: int | None) -> tf.Tensor:
        labels, count = tf.convert_to_tensor(labels), self.config.num_classes
        wanted = f"integers of shape ({'N' if num_images is None else num_images},), one an image"
        if not labels.dtype.is_integer or not labels.shape.is_compatible_with([num_images]):
            remedy = "of one-hot ones, take tf.argmax(labels, 1)"
            if labels.shape.rank == 2 and labels.shape[1] == 1:  # as Keras' data sets have them
                remedy = "take tf.cast(labels[:, 0], tf.int64)"
            raise UsageError(
                f"labels are {labels.dtype.name} of shape {tuple(labels.shape)}, but must be "
                f"{wanted}: {remedy}"
            )
        if labels.dtype not in (tf.int32, tf.int64):  # others TensorFlow's loss does not take
            labels = tf.cast(labels, tf.int64)
        if tf.executing_eagerly():
            outside = tf.boolean_mask(labels, (labels < 0) | (labels >= count))
            if len(outside):
                raise UsageError(
                    f"label {int(outside[0])} is outside of 0 to {count - 1}, the classes of "
                    f"{self.config.name}: give other labels, or make it with num_classes"
                )
        return labels

    def forward_and_backward(
        self,
        images: tf.Tensor,
        labels: tf.Tensor | MixedLabels,
        seed: tf.Tensor | None = None,
        units_of: Callable[[str], Any] | None = None,
    ) -> dict[str, Any]:
        """As `loss_and_gradients`, but updates nothing and keeps the storage's form.

        Args:
          images, labels: as in `loss_and_gradients`; labels of mixed images are MixedLabels.
          seed: (2,) int64 that says which values dropout drops; default: drawn.
          units_of: as in `Network.apply`; units' weights are then updated on the way, and have
            no gradients.

        Returns:
          dict: "loss", "logits", "past_exact_range", and by storage name
          "gradients" and "statistics".
        """
        variables = self.trainable_by_storage_name
        if units_of:
            variables = {name: v for name, v in variables.items() if not is_stacked(name)}
        values = {name: tf.convert_to_tensor(v) for name, v in variables.items()}
        with tf.GradientTape() as tape:
            tape.watch(values)
            logits, statistics, past = self.network.apply(
                values, self.network.checked(images), True, seed, units_of
            )
            loss = cross_entropy(logits, labels, self.config.label_smoothing)
        gradients = tape.gradient(loss, values)
        for name, value in values.items():
            if decay := self.decay_of(name):
                # Late: early, a second copy of all weights would wait for the backward pass.
                gradients[name] += decay * after(gradients[name], value)
        return {
            "loss": loss,
            "logits": logits,
            "gradients": gradients,
            "statistics": statistics,
            "past_exact_range": past,
        }

    def decay_of(self, storage_name: str) -> float:
        """What a trained variable is multiplied by and added to its gradient."""
        is_coupled = not self.config.decay_is_decoupled and self.is_decayed(storage_name)
        return self.config.weight_decay if is_coupled else 0.0

    def is_decayed(self, storage_name: str) -> bool:
        """Whether weight decay acts on a trained variable."""
        return self.config.decay_all or self._parameters[storage_name].is_decayed

    def is_kernel(self, storage_name: str) -> bool:
        """Whether a variable is a convolution's kernel, or those of several units."""
        return self._parameters[storage_name].kind == "conv"

    def update_moving_averages(self, statistics: Mapping[str, tf.Tensor]) -> None:
        """Moves each moving average 1 % of the way to {storage name: batch statistic}."""
        for name, variable in self.statistics_by_storage_name.items():
            move_average(variable, statistics[name])
