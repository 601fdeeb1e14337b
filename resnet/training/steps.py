"""One training step, on one device or several replicas, in one pass or several."""

import tensorflow as tf

from resnet.models.stages import seed_at
from resnet.settings import SKIP, STOP, WARN
from resnet.training.metrics import LEFT_OUT, LOSS, METRICS, METRICS_OF_PASSES, PAST_EXACT_RANGE

NORMS = "norms"  # beside a step's metrics: see Steps.names_of_norms

# Seeds of dropout are [seed of the run and step, part of the batch and place in the network].
STEP_SEEDS, PART_SEEDS = 2**32, 2**40


class Steps:
    """Compiled training steps of a model under the strategy it was built in.

    Replicas each take their share of a batch, and passes, one after the other, their
    share of a replica's: each has batch statistics of its own. The gradients and the
    statistics of all of them are averaged before the update. An update is good if its loss,
    gradients and statistics are finite and, where it is asked for, no value is past the exact
    range. One that is not good is made all the same, unless updates wait until all of that is
    known: then all gradients are there at once, which takes memory.
    """

    def __init__(
        self,
        model,
        optimizer,
        strategy=None,
        jit=False,
        num_passes=1,
        prepare=lambda x: x,
        nan_policy=STOP,
        exact_policy=WARN,
        fused=None,
    ):
        """`prepare` makes images of a batch's inputs (see data.feed.Feed).

        The policies are RunOptions': with nan_policy "skip", an update that is not finite is left
        out, and `train_many` goes on behind it; with exact_policy "stop", an update is not good
        if values of the residual stream are past the exact range. With either, updates wait.
        `fused`: FusedUpdate, which updates units' weights in the backward pass, or None.
        """
        keep_order_of_sums()
        self.model, self.optimizer = model, optimizer
        self.strategy = strategy or tf.distribute.get_strategy()
        self.jit, self.num_passes, self.prepare, self.fused = jit, num_passes, prepare, fused
        self.nan_policy, self.stops_past_range = nan_policy, exact_policy == STOP
        self.waits = nan_policy == SKIP or self.stops_past_range  # for all gradients
        self.train = tf.function(self._train, autograph=False)
        self.train_many = tf.function(self._train_many, autograph=False, reduce_retracing=True)
        self.compute = tf.function(self._compute, autograph=False)
        # On a GPU, each is one program in place of hundreds of small kernels.
        self._replica_step = _compiled(self._all_passes, jit)
        self._replica_norms = _compiled(self._norms, jit)
        # Compiled functions do not find variables that have a copy on each device.
        is_alone = self.strategy.num_replicas_in_sync == 1
        self._replica_update = _compiled(self._update_replica, jit and is_alone)

    def seed_of(self, step):
        """The seed of a replica's first pass, (2,) int64; None if nothing is dropped.

        Args:
          step: int64 scalar; None to draw a seed.
        """
        if step is None or not self.model.config.dropout:
            return None
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        part = tf.cast(replica, tf.int64) * self.num_passes * PART_SEEDS
        return tf.stack([self.model.config.seed * STEP_SEEDS + step, part])

    def _all_passes(self, inputs, labels, seed, units_of=None):
        """`_one_pass` over every pass's part of a replica's batch; the mean of what they return."""
        count = self.num_passes
        if count == 1:
            return self._one_pass(inputs, labels, seed, units_of)

        def split(x):
            size = -1 if x.shape[0] is None else x.shape[0] // count  # unknown in `train_many`
            return tf.reshape(x, [count, size, *x.shape[1:]])

        parts = tf.nest.map_structure(split, (inputs, labels))
        variables = self.model.trainable_by_storage_name, self.model.statistics_by_storage_name
        gradients, statistics = (
            {name: tf.zeros(v.shape) for name, v in group.items()} for group in variables
        )
        metrics = {metric.name: tf.constant(0.0) for metric in METRICS_OF_PASSES}
        zeros = {"gradients": gradients, "statistics": statistics, "metrics": metrics}

        def add_pass(i, total):
            part = tf.nest.map_structure(lambda x: x[i], parts)
            result = self._one_pass(*part, seed_at(seed, tf.cast(i, tf.int64) * PART_SEEDS))
            return i + 1, tf.nest.map_structure(tf.add, total, result)

        # A loop, so that no pass's memory is taken before the one before it is done.
        _, total = tf.while_loop(
            lambda i, _: i < count,
            add_pass,
            (tf.constant(0), zeros),
            parallel_iterations=1,
            maximum_iterations=count,
        )
        return tf.nest.map_structure(lambda x: x / count, total)

    def _one_pass(self, inputs, labels, seed, units_of=None):
        images = self.prepare(inputs)
        result = self.model.forward_and_backward(images, labels, seed, units_of)
        return {
            "gradients": result["gradients"],
            "statistics": result["statistics"],
            "metrics": {m.name: m.compute(result, labels) for m in METRICS_OF_PASSES},
        }

    def _train(self, inputs, labels, learning_rate, step=None):
        """Updates the model by one batch; returns {name of a metric: scalar; NORMS: vector}.

        Args:
          inputs, labels: a batch.
          learning_rate: float32 scalar.
          step: int64 scalar, the number of updates done, from which dropout is drawn;
            default: drawn anew.
        """
        found, metrics = self._compute(inputs, labels, step, learning_rate)
        metrics[NORMS] = norms = found.pop(NORMS)
        is_good = tf.math.is_finite(metrics[LOSS]) & tf.reduce_all(tf.math.is_finite(norms))
        if self.stops_past_range:
            is_good &= metrics[PAST_EXACT_RANGE] == 0
        metrics[LEFT_OUT] = 1.0 - tf.cast(is_good, tf.float32)

        def update():
            self.strategy.run(self._replica_update, (found, learning_rate, step))
            return ()

        if self.waits:
            tf.cond(is_good, update, lambda: ())
        else:
            update()
        return metrics

    def _compute(self, inputs, labels, step=None, learning_rate=None):
        """All that an update takes: arguments as of `_train`.

        With a learning rate, a fused update is made on the way.

        Returns:
          (found, metrics): {"gradients", "statistics": {storage name: tensor}, means over all
          replicas, NORMS: (n,) float32, see `names_of_norms`}; {name: scalar} of
          METRICS_OF_PASSES.
        """
        found = self.strategy.run(self._compute_replica, (inputs, labels, step, learning_rate))
        metrics = found.pop("metrics")
        reduced = {n: self.strategy.reduce("MEAN", m, axis=None) for n, m in metrics.items()}
        for metric in METRICS_OF_PASSES:
            if metric.is_count:  # a mean over passes and replicas so far
                reduced[metric.name] *= self.strategy.num_replicas_in_sync * self.num_passes
        # The same on every replica.
        (found[NORMS], *_) = self.strategy.experimental_local_results(found[NORMS])
        return found, reduced

    def names_of_norms(self):
        """[(kind, name)] of what a step's NORMS are of.

        The kinds are "gradient" and "batch statistic". What several units share, with the unit
        as leading axis, has one norm and the name "FIRST to LAST".
        """
        model = self.model
        trained, statistics = model.trainable_by_storage_name, model.statistics_by_storage_name
        kinds = (("gradient", trained), ("batch statistic", statistics))
        return [(kind, _span(model.public_names([n]))) for kind, names in kinds for n in names]

    def _train_many(self, batches, learning_rates, first_step):
        """Updates the model by several batches, one after the other, in one call.

        Args:
          batches: iterator of (inputs, labels).
          learning_rates: (n,) float32, of each update.
          first_step: int64 scalar, the number of updates done.

        Returns:
          {name of a metric: (n,) float32; NORMS: (n, m)}; zeros behind the update that ends it.
        """
        count = tf.size(learning_rates)
        shapes = {metric.name: () for metric in METRICS}
        shapes[NORMS] = (len(self.names_of_norms()),)
        arrays = {
            name: tf.TensorArray(tf.float32, count, element_shape=shape)
            for name, shape in shapes.items()
        }

        def train_one(i, _, arrays):
            step = first_step + tf.cast(i, tf.int64)
            metrics = self._train(*next(batches), learning_rates[i], step)
            goes_on = metrics[LEFT_OUT] == 0
            if self.nan_policy == SKIP:
                goes_on |= not self.stops_past_range or metrics[PAST_EXACT_RANGE] == 0
            arrays = {name: array.write(i, metrics[name]) for name, array in arrays.items()}
            return i + 1, goes_on, arrays

        *_, arrays = tf.while_loop(
            lambda i, goes_on, _: goes_on & (i < count),
            train_one,
            (tf.constant(0), tf.constant(True), arrays),
            parallel_iterations=1,
        )
        return {name: array.stack() for name, array in arrays.items()}

    def _compute_replica(self, inputs, labels, step, learning_rate):
        fuses = self.fused is not None and learning_rate is not None
        more = [self.fused.at(learning_rate)] if fuses else []
        result = self._replica_step(inputs, labels, self.seed_of(step), *more)
        if self.strategy.num_replicas_in_sync > 1:
            replica = tf.distribute.get_replica_context()
            averaged = (result["gradients"], result["statistics"])
            result["gradients"], result["statistics"] = replica.all_reduce("MEAN", averaged)
        norms = self._replica_norms(result["gradients"], result["statistics"])
        return result | {NORMS: norms}

    def _norms(self, gradients, statistics):
        """Norms of `names_of_norms`: half of a tensor's sum of squares."""
        # One operation a tensor: each takes some 14 kB of memory, whatever it computes.
        halved_squares = [
            tf.nn.l2_loss(gradients[name]) if name in gradients else self.fused.halved_square(name)
            for name in self.model.trainable_by_storage_name
        ]
        names = self.model.statistics_by_storage_name
        halved_squares += [tf.nn.l2_loss(statistics[name]) for name in names]
        return tf.stack(halved_squares)

    def _update_replica(self, found, learning_rate, step):
        self.model.update_moving_averages(found["statistics"])
        self.optimizer.apply(found["gradients"], learning_rate, step)


def _compiled(function, jit):
    return tf.function(function, autograph=False, jit_compile=True) if jit else function


def _span(names):
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def keep_order_of_sums():
    """Stops TensorFlow's graph optimiser from rewriting sums.

    It joins chains of additions in an order that changes from graph to graph, and
    with it the last bits of a gradient: stored and reversible backprop, and a run
    and its restored half, would no longer be equal bit for bit. (Left alone, the
    graph is also faster: RevNet-110 by 3 % in float32, 7 % in bfloat16.)

    One order it does not keep: AddN of three tensors or more begins with the one whose memory
    is free, which depends on timing. So no tensor of a model may have three gradients.
    """
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
