"""Parameters: their shapes, kinds and initial values."""

import dataclasses
import math
import zlib

import tensorflow as tf

# Standard deviation of a standard normal value, given that it lies within +-2.
TRUNCATED_DEVIATION = 0.87962566103423978


@dataclasses.dataclass(frozen=True)
class Parameter:
    """Shape and kind of one tensor of the model."""

    shape: tuple
    kind: str  # "conv", "dense", "gamma", "beta", "bias", "mean" or "variance"

    @property
    def is_statistic(self):
        """Whether it is a moving average, which no gradient trains."""
        return self.kind in ("mean", "variance")

    @property
    def is_decayed(self):
        """Whether weight decay applies: weights only, never gamma, beta and biases."""
        return self.kind in ("conv", "dense")

    @property
    def size(self):
        """Number of elements."""
        return math.prod(self.shape)

    def initial_value(self, name, seed, initializer="fan_out"):
        """The initial value, a float32 tensor that depends on name and seed alone.

        Convolutions: normal around 0, truncated at two deviations (He et al. 2015,
        https://arxiv.org/abs/1502.01852), and fully connected layers: uniform, with
          "fan_out": variance 2 / (k k out) before the truncation; +-sqrt(3 / in).
          "he_normal": variance 2 / (k k in) after it; +-sqrt(6 / (in + out)).
        """
        random_seed = [seed, zlib.crc32(name.encode())]
        if self.kind == "conv":
            height, width, fan_in, fan_out = self.shape
            if initializer == "he_normal":
                deviation = math.sqrt(2 / (height * width * fan_in)) / TRUNCATED_DEVIATION
            else:
                deviation = math.sqrt(2 / (height * width * fan_out))
            return tf.random.stateless_truncated_normal(self.shape, random_seed, stddev=deviation)
        if self.kind == "dense":
            square = 6 / sum(self.shape) if initializer == "he_normal" else 3 / self.shape[0]
            limit = math.sqrt(square)
            return tf.random.stateless_uniform(self.shape, random_seed, -limit, limit)
        return tf.fill(self.shape, 1.0 if self.kind in ("gamma", "variance") else 0.0)


def batch_norm_parameters(name, channels):
    """{name: Parameter} of a batch normalisation."""
    kinds = {"beta": "beta", "gamma": "gamma", "ema_mean": "mean", "ema_var": "variance"}
    return {f"{name}/{key}": Parameter((channels,), kind) for key, kind in kinds.items()}


def dense_parameters(name, in_features, out_features):
    """{name: Parameter} of a fully connected layer."""
    return {
        f"{name}/w": Parameter((in_features, out_features), "dense"),
        f"{name}/b": Parameter((out_features,), "bias"),
    }


def prefixed(prefix, mapping):
    """`mapping` with every key under prefix/."""
    return {f"{prefix}/{key}": value for key, value in mapping.items()}


def under(prefix, mapping):
    """The entries of `mapping` under prefix/, without it: the inverse of `prefixed`."""
    start = prefix + "/"
    return {key[len(start) :]: v for key, v in mapping.items() if key.startswith(start)}
