"""The model: variables, forward pass, loss and gradients."""

import copy
import dataclasses

import tensorflow as tf

from resnet.errors import UsageError
from resnet.models.cost import units_to_keep
from resnet.models.layers import MOVING_AVERAGE_DECAY
from resnet.models.parameters import Parameter, prefixed, under
from resnet.models.residual import BOTTLENECK_FACTOR, Residual, Shortcut
from resnet.models.stages import LOOP_FROM, ResidualStage, ReversibleStage
from resnet.models.units import Head, ResidualUnit, Stem
from resnet.reversible import BACKPROPS, count_past_exact_range, recompute, round_to_grid

DTYPES = {"float32": tf.float32, "bfloat16": tf.bfloat16}
SCOPE = "Model"  # revnet-public's name of the whole model
LOOPS = ("auto", "on", "off")
IMAGE_CHANNELS = 3


def family_defaults(config):
    """(backprop, exact) where nothing is asked for."""
    return ("reversible", True) if config.family == "revnet" else ("stored", False)


class Model(tf.Module):
    """A ResNet or RevNet for image classification.

    Weights are float32 whatever the type of the arithmetic. Each has a public
    name, revnet-public's (such as Model/unit_1_0/f/sub1/conv1/w), which
    checkpoints, gradients and reports use. In storage the equal units of a stage
    share one variable per tensor, with the unit as leading axis.

    Attributes:
      config: the resnet.configs.Config.
      backprop: "reversible", "stored" or "checkpoint".
      dtype: "float32" or "bfloat16".
      exact: whether the residual stream of a RevNet is kept on a fixed grid.
      loop: "auto", "on" or "off".
      extra_bytes: activations that may be stored beyond reversible backprop's, per image.
      stem, stages, head: the network's blocks, input to output.
      variables_by_storage_name: {name: tf.Variable}.
    """

    def __init__(
        self,
        config,
        backprop=None,
        dtype="float32",
        exact=None,
        seed=None,
        loop="auto",
        extra_bytes=0,
    ):
        """Builds the model with initial weights.

        Args:
          config: a resnet.configs.Config.
          backprop: how gradients find their activations; default "reversible" for
            RevNets, "stored" for ResNets.
          dtype: type of the convolutions' and batch norms' arithmetic.
          exact: default True for RevNets. ResNets have no such stream.
          seed: of the initial weights; default config.seed.
          loop: whether the equal units of a RevNet's stage run in a loop, a graph that
            does not grow with depth; "auto": where there are many. Same numbers.
          extra_bytes: an image's bytes of activations that may be stored beyond what
            reversible backprop takes, so that fewer units are recomputed. Same numbers.

        Raises:
          UsageError (a ValueError): unknown choice, or one that does not fit the family.
        """
        super().__init__(name=config.name.replace("-", "_"))
        is_revnet = config.family == "revnet"
        default_backprop, default_exact = family_defaults(config)
        backprop = backprop or default_backprop
        exact = default_exact if exact is None else exact
        if backprop not in BACKPROPS:
            raise UsageError(f"unknown backprop {backprop!r}: choose one of {', '.join(BACKPROPS)}")
        if dtype not in DTYPES:
            raise UsageError(f"unknown dtype {dtype!r}: choose one of {', '.join(DTYPES)}")
        if not is_revnet and (backprop == "reversible" or exact):
            asked = 'backprop "reversible"' if backprop == "reversible" else "exact mode"
            raise UsageError(
                f"{asked} needs a RevNet, and {config.name} is a ResNet: its units have no "
                'inverse. Use backprop "stored" or "checkpoint" without exact mode, or a RevNet'
            )
        if loop not in LOOPS:
            raise UsageError(f"unknown loop {loop!r}: choose one of {', '.join(LOOPS)}")
        if loop == "on" and backprop != "reversible":
            raise UsageError(
                f'loop "on" needs backprop "reversible", but {config.name} has {backprop!r}: '
                'leave loop at "auto"'
            )
        if extra_bytes and backprop != "reversible":
            raise UsageError(
                f'a memory budget needs backprop "reversible", but {config.name} has '
                f"{backprop!r}: give a budget of 0, or change backprop"
            )
        self.config, self.backprop, self.dtype, self.exact = config, backprop, dtype, exact
        self.loop, self.extra_bytes = loop, extra_bytes
        self._build_blocks()
        self._build_variables(config.seed if seed is None else seed)

    # ------------------------------------------------------------------ structure

    def _build_blocks(self):
        """Lists the network's blocks, input to output."""
        config, is_revnet = self.config, self.config.family == "revnet"
        dtype = DTYPES[self.dtype]
        halves = 2 if is_revnet else 1
        factor = BOTTLENECK_FACTOR if config.block == "bottleneck" else 1
        self.stem = Stem(
            in_channels=IMAGE_CHANNELS,
            filters=config.stem_filters,
            kernel=config.stem_kernel,
            stride=config.stem_stride,
            max_pool=config.stem_max_pool,
            dtype=dtype,
            # Two halves are added to once a unit: bfloat16 sums would drown small terms.
            stream_dtype=tf.float32 if is_revnet else dtype,
        )
        self.stages = []
        channels = config.stem_filters // halves
        for stage, (filters, units, stride) in enumerate(
            zip(config.filters, config.units, config.strides, strict=True)
        ):
            filters = filters * factor // halves
            # The stem ends in BN and ReLU: the very first function does not repeat them.
            start = Residual(config.block, channels, filters, stride, stage > 0, dtype)
            other = Residual(config.block, filters, filters, dtype=dtype)
            build = self._reversible_stage if is_revnet else self._residual_stage
            self.stages.append(build(start, other, units - 1))
            channels = filters
        if self.backprop == "reversible":
            kept = units_to_keep(config, self.stages, self.extra_bytes)
            for s, stage in enumerate(self.stages):
                # Where there are many, a few that are kept for nothing save next to nothing,
                # and the parameters of all would have to be copied.
                if self.extra_bytes or stage.num_others < LOOP_FROM:
                    self.stages[s] = dataclasses.replace(stage, num_kept=kept[s])
        self.head = Head(channels * halves, config.num_classes)

    def _residual_stage(self, start, other, num_others):
        start_unit = ResidualUnit(start, self._shortcut(start, "project"))
        unit = ResidualUnit(other, self._shortcut(other, "project"))
        return ResidualStage(start_unit, unit, num_others, self.backprop)

    def _reversible_stage(self, start, other, num_others):
        shortcuts = tuple(
            self._shortcut(start, f"{half}_bottleneck/project") for half in ("x1", "x2")
        )
        is_deep = num_others >= LOOP_FROM and self.backprop == "reversible"
        return ReversibleStage(
            start,
            other,
            shortcuts,
            num_others,
            self.backprop,
            self.exact,
            loop=self.loop == "on" or (self.loop == "auto" and is_deep),
        )

    def _shortcut(self, residual, name):
        return Shortcut(
            residual.block,
            residual.in_channels,
            residual.filters,
            residual.stride,
            name,
            residual.dtype,
        )

    def _storage(self):
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

    def _build_variables(self, seed):
        self.variables_by_storage_name = {}
        self._parameters = {}  # storage name -> Parameter of one unit
        self._public_names = {}  # storage name -> public names
        for name, parameter, public in self._storage():
            initial = [parameter.initial_value(p, seed) for p in public]
            self._parameters[name], self._public_names[name] = parameter, public
            self.variables_by_storage_name[name] = tf.Variable(
                tf.stack(initial) if _is_stacked(name) else initial[0],
                trainable=not parameter.is_statistic,
                # Replicas compute the same update: gradients and statistics are averaged first.
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name=name.replace("/", "_"),
            )

    def parameters_by_name(self):
        """{public name: Parameter}: shape and kind of every tensor, moving averages too."""
        found: dict[str, Parameter] = {}
        for name, public in self._public_names.items():
            found |= dict.fromkeys(public, self._parameters[name])
        return found

    @property
    def num_parameters(self):
        """Number of trainable parameters."""
        return sum(p.size for p in self.parameters_by_name().values() if not p.is_statistic)

    # -------------------------------------------------------------- names and values

    def to_public(self, values):
        """{storage name: tensor} -> {public name: tensor}, stacks taken apart."""
        found = {}
        for name, value in values.items():
            public = self._public_names[name]
            parts = tf.unstack(value, len(public)) if _is_stacked(name) else [value]
            found |= dict(zip(public, parts, strict=True))
        return found

    def to_storage(self, values):
        """{public name: tensor} -> {storage name: tensor}, stacked: inverts `to_public`."""
        found = {}
        for name, public in self._public_names.items():
            if all(p in values for p in public):
                parts = [values[p] for p in public]
                found[name] = tf.stack(parts) if _is_stacked(name) else parts[0]
        return found

    def get_weights(self):
        """{public name: numpy array} of all variables, moving averages too."""
        return {
            name: value.numpy()
            for name, value in self.to_public(
                {name: v.value() for name, v in self.variables_by_storage_name.items()}
            ).items()
        }

    def set_weights(self, weights):
        """Assigns {public name: array}; every name and shape must be the model's.

        Raises:
          UsageError (a ValueError): missing or extra names, or a wrong shape; nothing is assigned.
        """
        self.assign_public(self.variables_by_storage_name, weights)

    def assign_public(self, variables, values):
        """Assigns {public name: array} to {storage name: variable}, all or nothing.

        Raises:
          UsageError (a ValueError): as `set_weights`.
        """
        self.check_public(variables, values)
        for name, value in self.to_storage(values).items():
            variables[name].assign(value)

    def check_public(self, variables, values):
        """Raises what `assign_public` would, and assigns nothing."""
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
            if tuple(values[name].shape) != shape:
                raise UsageError(
                    f"the weights do not fit {self.config.name}: {name} has shape "
                    f"{tuple(values[name].shape)}, but must have {shape}"
                )

    @property
    def trainable_by_storage_name(self):
        """{storage name: variable} of the trained variables."""
        return self._select(statistics=False)

    @property
    def statistics_by_storage_name(self):
        """{storage name: variable} of the moving averages."""
        return self._select(statistics=True)

    def _select(self, statistics):
        return {
            name: v
            for name, v in self.variables_by_storage_name.items()
            if self._parameters[name].is_statistic == statistics
        }

    # ------------------------------------------------------------------ computation

    def apply(self, values, images, training):
        """The network as a pure function.

        Args:
          values: {storage name: tensor}; in training the moving averages may lack.
          images: (N, H, W, 3) float, preprocessed.
          training: whether batch norm uses the batch's statistics.

        Returns:
          (logits, statistics, past_exact_range): (N, classes) float32; {storage
          name: batch statistic} (empty in evaluation); int32 number of residual
          stream values past the exact range (0 if not exact).
        """
        is_revnet = self.config.family == "revnet"
        x, statistics = self._apply_stem(values, images, training)
        past = [count_past_exact_range(*x)] if self.exact else []
        for s, stage in enumerate(self.stages, 1):
            x, found, count = stage(under(f"stage_{s}", values), x, training)
            statistics = statistics | prefixed(f"stage_{s}", found)
            past.append(count)
        x = tf.concat(x, axis=-1) if is_revnet else x
        logits, found = self.head(values, x, training)
        return logits, statistics | found, tf.add_n(past)

    def _apply_stem(self, values, images, training):
        """What the first stage takes, and the stem's statistics."""

        def stem(params, images):
            return self.stem(params, images, training)

        if training and self.backprop != "stored":
            stem = recompute(stem)  # of the stem, only the images are kept
        x, statistics = stem(
            {name: values[name] for name in self.stem.parameters() if name in values}, images
        )
        x = tuple(tf.split(x, 2, axis=-1)) if self.config.family == "revnet" else x
        return (tuple(round_to_grid(half) for half in x) if self.exact else x), statistics

    def reconstruction_error(self, images):
        """Largest error of a value that a RevNet's stages restore in training.

        Args:
          images: (N, H, W, 3) float, preprocessed.

        Returns:
          float32 scalar, relative to the largest value of the stage's stream.
        """
        values = {n: tf.convert_to_tensor(v) for n, v in self.trainable_by_storage_name.items()}
        x, _ = self._apply_stem(values, self._checked(images), training=True)
        errors = []
        for s, stage in enumerate(self.stages, 1):
            x, error = stage.reconstruct(under(f"stage_{s}", values), x)
            errors.append(error)
        return tf.reduce_max(errors)

    def with_backprop(self, backprop):
        """This model with another `backprop`; the variables are the same ones."""
        other = copy.copy(self)
        other.backprop, other.loop, other.extra_bytes = backprop, "auto", 0
        other._build_blocks()
        return other

    def __call__(self, images, training=False):
        """Classifies images.

        Args:
          images: (N, H, W, 3) float, preprocessed as the config's data set is.
          training: whether batch norm uses the batch's statistics; if so, the
            moving averages move.

        Returns:
          logits: (N, classes) float32.
        """
        values = {n: tf.convert_to_tensor(v) for n, v in self.variables_by_storage_name.items()}
        logits, statistics, _ = self.apply(values, self._checked(images), training)
        if training:
            self.update_moving_averages(statistics)
        return logits

    def loss_and_gradients(self, images, labels):
        """Loss and gradients of one batch in training mode; moving averages move.

        Args:
          images: (N, H, W, 3) float, preprocessed.
          labels: (N,) integers in [0, classes).

        Returns:
          (loss, gradients): the mean cross-entropy, float32 scalar, without weight
          decay; {public name: gradient}, with it: + weight_decay * w for weights of
          convolutions and of the fully connected layer.
        """
        result = self.forward_and_backward(images, labels)
        self.update_moving_averages(result["statistics"])
        return result["loss"], self.to_public(result["gradients"])

    def forward_and_backward(self, images, labels):
        """As `loss_and_gradients`, but updates nothing and keeps the storage's form.

        Returns:
          dict: "loss", "logits", "past_exact_range", and by storage name
          "gradients" and "statistics".
        """
        variables = self.trainable_by_storage_name
        values = {name: tf.convert_to_tensor(v) for name, v in variables.items()}
        with tf.GradientTape() as tape:
            tape.watch(values)
            logits, statistics, past = self.apply(values, self._checked(images), training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        gradients = tape.gradient(loss, values)
        decay = self.config.weight_decay
        for name, value in values.items():
            if self._parameters[name].is_decayed and decay:
                gradients[name] += decay * value
        return {
            "loss": loss,
            "logits": logits,
            "gradients": gradients,
            "statistics": statistics,
            "past_exact_range": past,
        }

    def update_moving_averages(self, statistics):
        """Moves each moving average 1 % of the way to {storage name: batch statistic}."""
        for name, variable in self.statistics_by_storage_name.items():
            variable.assign_sub((variable - statistics[name]) * (1 - MOVING_AVERAGE_DECAY))

    def _checked(self, images):
        size = self.config.image_size
        images = tf.convert_to_tensor(images)
        if not images.shape[1:].is_compatible_with([size, size, IMAGE_CHANNELS]):
            raise UsageError(
                f"images have shape {tuple(images.shape)}, but {self.config.name} takes "
                f"(N, {size}, {size}, {IMAGE_CHANNELS})"
            )
        return tf.cast(images, tf.float32)


def _is_stacked(storage_name):
    return "/units/" in storage_name
