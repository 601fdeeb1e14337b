"""A network as a Keras layer, which Keras saves, loads, trains and exports."""

import keras
import tensorflow as tf

from resnet.configs import config_from_json
from resnet.models.families import computation_for
from resnet.models.layers import IMAGE_CHANNELS, move_average
from resnet.models.network import Network


@keras.saving.register_keras_serializable("resnet")
class Classifier(keras.layers.Layer):
    """Images -> logits, by a ResNet, RevNet or VGG.

        network = Classifier(resnet.get_config("revnet-38"))
        model = keras.Sequential([keras.Input([32, 32, 3]), network])

    A RevNet trains reversibly in `fit` too; moving averages move once a step, and not at all
    where `trainable` is False, as those of Keras' own layers. Weight decay is the optimizer's.
    Its weights are {storage name: tensor} of `Network`, float32 under any Keras policy.
    """

    def __init__(
        self,
        config,
        backprop=None,
        arithmetic="float32",
        exact=None,
        prepares=False,
        **kwargs,
    ):
        """Makes the layer.

        Args:
          config: Config, or a dict of its fields.
          backprop, exact: as in `Network`.
          arithmetic: "float32" or "bfloat16".
          prepares: whether images come as 0 to 255, and are prepared by the layer's weights
            offset and divisor: (image - offset) / divisor.
          **kwargs: keras.layers.Layer's.

        Raises:
          UsageError (a ValueError): as `Network`.
        """
        super().__init__(autocast=False, **kwargs)  # images keep their bits, too
        self.config = config_from_json(config) if isinstance(config, dict) else config
        self.prepares = prepares
        computation = computation_for(self.config, backprop=backprop, dtype=arithmetic, exact=exact)
        self.network = Network(self.config, computation)
        size = self.config.image_size
        if prepares:
            shape = [size, size, IMAGE_CHANNELS]
            self.offset, self.divisor = (
                self.add_weight(
                    shape=shape,
                    initializer=initial,
                    trainable=False,
                    name=name,
                    dtype="float32",
                    autocast=False,
                )
                for name, initial in (("offset", "zeros"), ("divisor", "ones"))
            )
        self.tensors = {
            name: self._add_tensor(name, parameter, value)
            for name, parameter, _, value in self.network.initial_values(self.config.seed)
        }

    def _add_tensor(self, name, parameter, value):
        return self.add_weight(
            shape=value.shape,
            initializer=lambda shape, dtype=None: value,
            trainable=not parameter.is_statistic,
            name=name.replace("/", "_"),
            dtype="float32",
            autocast=False,
        )

    def call(self, images, training=False):
        """(N, H, W, 3) -> logits (N, classes) float32."""
        images = self.network.checked(images)
        training = bool(training and self.trainable)
        if self.prepares:
            images = (images - self.offset) / self.divisor
        values = {name: tf.convert_to_tensor(weight) for name, weight in self.tensors.items()}
        logits, statistics, _ = self.network.apply(values, images, training)
        for name, statistic in statistics.items():
            move_average(self.tensors[name], statistic)
        return logits

    def compute_output_shape(self, input_shape):
        """(N, classes)."""
        return (input_shape[0], self.config.num_classes)

    def get_config(self):
        """What `from_config` needs."""
        return super().get_config() | {
            "config": self.config.to_json(),
            "backprop": self.network.computation.backprop,
            "arithmetic": self.network.computation.dtype,
            "exact": self.network.computation.exact,
            "prepares": self.prepares,
        }
