"""A network as a Keras layer, which Keras saves, loads, trains and exports."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from resnet.configs import Config, config_from_json
from resnet.models.families import ARITHMETIC, computation_for
from resnet.models.layers import IMAGE_CHANNELS, move_average
from resnet.models.model import Model
from resnet.models.network import Network
from resnet.models.parameters import Parameter
from resnet.models.start import find_start, load_pretrained
from resnet.pixels import Scaling, prepare
from resnet.pretrained import Pretrained
from resnet.settings import wrong

POLICY = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # the inverse of ARITHMETIC


@keras.saving.register_keras_serializable("resnet")
class Classifier(keras.layers.Layer):
    """Images -> logits, by a ResNet, RevNet or VGG.

        network = Classifier("revnet-38", weights="cifar-10")
        model = keras.Sequential([keras.Input([32, 32, 3]), network])

    A RevNet trains reversibly in `fit` too; moving averages move once a step, and not at all
    where `trainable` is False, as those of Keras' own layers. Weight decay is the optimizer's.

    Attributes:
      config: the Config.
      network: the Network.
      tensors: {storage name of `Network`: weight}, all float32.
      scaling, label_names: as of `resnet.Model`.
    """

    def __init__(
        self,
        config: Config | str | dict[str, Any],
        *,
        weights: str | os.PathLike[str] | None = None,
        num_classes: int | None = None,
        include_top: bool = True,
        seed: int | None = None,
        images_at_once: int = 1,
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        backprop: str | None = None,
        exact: bool | None = None,
        loop: str | None = None,
        memory_budget: int | str | None = None,
        prepares: bool = False,
        label_names: Sequence[str] | None = None,
        scaling: Scaling | Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Makes the layer.

        Args:
          config: Config, the name of one, or a dict of its fields.
          weights, num_classes, seed, images_at_once: as in `resnet.get_model`.
          include_top: whether it returns logits, or features: what the mean over pixels would
            be taken of.
          dtype: type of the arithmetic, "float32" or "bfloat16"; or a Keras dtype policy
            that means one of them, "mixed_bfloat16"; default: the global policy.
          backprop, exact, loop, memory_budget: as in `resnet.get_model`.
          prepares: whether images come as 0 to 255, and are prepared by the layer's weights
            offset and divisor: (image - offset) / divisor. They are the trained weights'; without
            those 0 and 1, which change nothing until you assign others.
          label_names: of the classes; default: the trained weights', or none.
          scaling: what `prepare` does, [offset, divisor] or an object that has them; default: the
            trained weights', or none.
          **kwargs: keras.layers.Layer's.

        Raises:
          SettingError (a ValueError): as `resnet.get_model`; a dtype that is neither.
          UsageError, WeightsError (both ValueErrors): as `resnet.get_model`.
        """
        named = config_from_json(config) if isinstance(config, dict) else config
        self.config, pretrained = find_start(named, weights, num_classes)
        arithmetic = _arithmetic(dtype)
        kwargs["autocast"] = False  # images keep their bits, too
        super().__init__(dtype=POLICY[arithmetic], **kwargs)
        self.prepares, self.images_at_once = prepares, images_at_once
        computation = computation_for(
            self.config,
            dtype=arithmetic,
            backprop=backprop,
            exact=exact,
            loop=loop,
            memory_budget=memory_budget,
        )
        self.network = Network(self.config, computation, images_at_once, include_top)
        if prepares:
            self.offset, self.divisor = (
                self._add_pixels(name, initial)
                for name, initial in (("offset", "zeros"), ("divisor", "ones"))
            )
        seed = self.config.seed if seed is None else seed
        self.tensors = {
            name: self._add_tensor(name, parameter, value)
            for name, parameter, _, value in self.network.initial_values(seed)
        }
        self.scaling: Scaling | None = None
        self.label_names: tuple[str, ...] | None = None
        if pretrained:
            self._load(pretrained)
        if scaling is not None:
            pair = scaling.to_json() if isinstance(scaling, Scaling) else scaling
            self.scaling = Scaling(*(np.asarray(values, np.float32) for values in pair))
        if label_names is not None:
            self.label_names = tuple(label_names)
            if len(self.label_names) != self.config.num_classes:
                raise ValueError(
                    f"label_names has {len(self.label_names)} names, but there are "
                    f"{self.config.num_classes} classes: give each one a name"
                )

    def _load(self, pretrained: Pretrained) -> None:
        """Sets weights to trained ones."""
        model = Model(
            self.config,
            self.network.computation,
            variables=self.tensors,
            include_top=self.network.head.include_top,
        )
        load_pretrained(model, pretrained)
        self.scaling, self.label_names = model.scaling, model.label_names
        if self.prepares and self.scaling:
            self.offset.assign(np.broadcast_to(self.scaling.offset, self.offset.shape))
            self.divisor.assign(np.broadcast_to(self.scaling.divisor, self.divisor.shape))

    def _add_pixels(self, name: str, initial: str) -> keras.Variable:
        size = self.config.image_size
        return self.add_weight(
            shape=[size, size, IMAGE_CHANNELS],
            initializer=initial,
            trainable=False,
            name=name,
            dtype="float32",
            autocast=False,
        )

    def prepare(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """What the layer takes, of pixels, unless it `prepares` them; as `resnet.Model.prepare`."""
        return prepare(self.scaling, images)

    def _add_tensor(self, name: str, parameter: Parameter, value: tf.Tensor) -> keras.Variable:
        return self.add_weight(
            shape=value.shape,
            initializer=lambda shape, dtype=None: value,
            trainable=not parameter.is_statistic,
            name=name.replace("/", "_"),
            dtype="float32",
            autocast=False,
        )

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """(N, H, W, 3) -> logits (N, classes) or features (N, h, w, C), float32."""
        images = self.network.checked(images)
        training = bool(training and self.trainable)
        if self.prepares:
            images = (images - self.offset) / self.divisor
        values = {name: tf.convert_to_tensor(weight) for name, weight in self.tensors.items()}
        output, statistics, _ = self.network.apply(values, images, training)
        for name, statistic in statistics.items():
            move_average(self.tensors[name], statistic)
        return output

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(N, classes), or of features (N, h, w, C)."""
        return (input_shape[0], *self.network.output_shape)

    def compute_output_spec(
        self, images: keras.KerasTensor, training: bool = False
    ) -> keras.KerasTensor:
        """As `compute_output_shape`: float32 whatever the arithmetic."""
        self.network.require_images(images.shape)
        return keras.KerasTensor(self.compute_output_shape(images.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        computation = dataclasses.asdict(self.network.computation)
        del computation["dtype"]  # Keras keeps the policy
        return (
            super().get_config()
            | computation
            | {
                "config": self.config.to_json(),
                "include_top": self.network.head.include_top,
                "images_at_once": self.images_at_once,
                "prepares": self.prepares,
                "label_names": self.label_names,
                "scaling": self.scaling and self.scaling.to_json(),
            }
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Classifier:
        """The layer of a config from `get_config`."""
        config = dict(config)
        if "arithmetic" in config:  # of files from when Keras' policy did not count
            config["dtype"] = config.pop("arithmetic")
        return super().from_config(config)


def _arithmetic(dtype: str | keras.dtype_policies.DTypePolicy | None) -> str:
    """The type of the arithmetic that a Classifier's argument means.

    Raises:
      SettingError: none.
    """
    policy = keras.config.dtype_policy() if dtype is None else dtype
    name = policy if isinstance(policy, str) else getattr(policy, "name", policy)
    if name not in ARITHMETIC:
        subject = "Keras' global policy for a Classifier's " if dtype is None else "a Classifier's "
        raise wrong(subject, "dtype", name, f"one of {', '.join(ARITHMETIC)}")
    return ARITHMETIC[name]
