"""The state of a running training, and how it goes on by a step."""

import contextlib

import tensorflow as tf

from resnet.configs import read_json
from resnet.data.feed import Share, untuned
from resnet.errors import UserError, message_of
from resnet.files import write_json
from resnet.models import Model
from resnet.pretrained import Pretrained
from resnet.settings import SettingError
from resnet.training.bad_data import BAD_DATA, bad_data
from resnet.training.fitting import require_fitting
from resnet.training.fused import FusedUpdate
from resnet.training.gradient_check import GradientCheck
from resnet.training.hosts import is_lost_host
from resnet.training.optimizer import make_optimizer
from resnet.training.steps import Steps
from resnet.weights.checkpoint import (
    init_from_checkpoint,
    init_from_tensors,
    list_checkpoints,
    remove_checkpoints,
    restore_checkpoint,
    save_checkpoint,
)
from resnet.weights.checkpoint_format import CheckpointError
from resnet.weights.folder import BEST, RESULT


class Training:
    """A training under way: what it trains, and how far it has come.

    Attributes:
      step: number of updates done.
      model, optimizer, steps: what is trained, and how.
    """

    def __init__(self, experiment, feed, placement, jit=False):
        """Builds the model, with the weights that the experiment starts from or has reached."""
        self.experiment, self.placement = experiment, placement
        options = experiment.options
        require_fitting(experiment.config, options, jit, placement.num_replicas)
        with placement.strategy.scope():
            self.model = experiment.make_model(placement.num_replicas)
            self.optimizer = make_optimizer(self.model)
            fused = None
            if options.fused_update:
                fused = FusedUpdate(self.model, self.optimizer.update)
        self.steps = Steps(
            self.model,
            self.optimizer,
            placement.strategy,
            jit,
            options.num_pass,
            feed.prepare,
            options.nan_policy,
            options.exact_policy,
            fused,
        )
        self.step = self._restore()
        self._feed, self._batches = feed, None
        self._check = GradientCheck(self.steps) if options.check_gradients_every else None

    def _restore(self):
        """Sets the weights; returns the step."""
        experiment = self.experiment
        checkpoints = list_checkpoints(experiment.results)
        if checkpoints:
            last = max(checkpoints)
            prefix = checkpoints[last]
            try:
                step = restore_checkpoint(prefix, self.model, self.optimizer)
            except CheckpointError as error:
                earlier = max((step for step in checkpoints if step < last), default=None)
                rest = (
                    ". There is no earlier one to go on from"
                    if earlier is None
                    else f", or give --restore_step {earlier}, which goes on from there and sets "
                    "later ones aside"
                )
                raise CheckpointError(f"{error}{rest}") from None
            print(f"restored {prefix}", flush=True)
            self._remove_old()  # that a power cut has brought back
            return step
        if experiment.options.init_from:
            source = experiment.init_source()
            if isinstance(source, Pretrained):
                weights = source.read().weights
                left = init_from_tensors(weights, experiment.options.init_from, self.model)
            else:
                left = init_from_checkpoint(source, self.model)
            print(f"weights of {source}", flush=True)
            for tensor in left:
                print(f"  initial value: {tensor}", flush=True)
            if self.optimizer.average:
                self.optimizer.average.reset()
        return 0

    @property
    def evaluated_model(self):
        """The model of averaged weights, if they are averaged; else that which is trained."""
        average = self.optimizer.average
        if not average:
            return self.model
        return Model(self.model.config, self.model.computation, variables=average.variables)

    # ------------------------------------------------------------------- a step

    @property
    def share(self):
        """The Share of a step's images that this host's replicas take."""
        placement = self.placement
        return Share(
            self.experiment.config.batch_size // placement.num_replicas,
            len(placement.devices),
            len(placement.hosts),
            placement.hosts.index,
        )

    @property
    def learning_rate(self):
        """That of the next update."""
        return self.experiment.config.learning_rate(self.step)

    @property
    def is_check_due(self):
        """Whether the next step's gradients are compared to stored ones."""
        check_every = self.experiment.options.check_gradients_every
        return bool(check_every) and self.step % check_every == 0

    def check_gradients(self, batch):
        """What a GradientCheck finds on a batch."""
        try:
            return self._check(*batch, tf.constant(self.step, tf.int64))
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(
                f"out of memory in the check of gradients: {message_of(error)}. It needs what "
                "stored backprop needs: give --check_gradients_every 0, or raise --num_pass"
            ) from None

    @property
    def batches(self):
        """Iterator of what the next steps take."""
        if self._batches is None:
            first_step, share = self.step, self.share
            self._batches = iter(
                self.placement.strategy.distribute_datasets_from_function(
                    lambda _: untuned(self._feed.training(first_step, share))
                )
            )
        return self._batches

    def open_batches(self):
        """Makes their iterator, which copies images that are in memory: steps then need no more."""
        with self._naming_errors(takes_images=True):
            return self.batches

    def next_batch(self):
        """(inputs, labels) of the next step."""
        with self._naming_errors(takes_images=True):
            return next(self.batches)

    def rewind(self, step):
        """Goes back to the batch behind a step; the weights stay as they are."""
        self.step, self._batches = step, None

    def image_indices(self):
        """Places in the training split of the next step's images, [int]; None if not known."""
        return self._feed.indices(self.step, self.share) if self._feed.indices else None

    def advance(self, count, batch=None):
        """Makes `count` updates, but those to leave out; returns their metrics, on the device.

        Args:
          count: how many.
          batch: of the first, if it has been taken; then `count` is 1.
        """
        step = tf.constant(self.step, tf.int64)
        if batch is None and count == 1:
            batch = self.next_batch()
        with self._naming_errors(takes_images=batch is None):
            if batch is not None:
                rate = tf.constant(self.learning_rate, tf.float32)
                metrics = self.steps.train(*batch, rate, step)
            else:
                rate_of = self.experiment.config.learning_rate
                rates = [rate_of(self.step + i) for i in range(count)]
                metrics = self.steps.train_many(self.batches, tf.constant(rates, tf.float32), step)
        self.step += count
        return metrics

    @contextlib.contextmanager
    def _naming_errors(self, takes_images):
        """Within it, errors of data that is read say what a user can do."""
        try:
            yield
        except BAD_DATA as error:
            is_lost = len(self.placement.hosts) > 1 and is_lost_host(error)
            if is_lost or not takes_images:
                raise
            raise bad_data(error, "training", self._feed.find_damage) from None

    # --------------------------------------------------------------- its results

    def save(self):
        """Writes a checkpoint; removes those that are not to be kept."""
        if not self.placement.hosts.is_chief:
            return
        experiment = self.experiment
        save_checkpoint(
            experiment.results, self.step, self.model, self.optimizer, experiment.config.seed
        )
        self._remove_old()

    def _remove_old(self):
        """Removes the checkpoints that are not to be kept."""
        experiment, keep = self.experiment, self.experiment.options.keep_checkpoints
        if keep and self.placement.hosts.is_chief:
            steps_kept = list(list_checkpoints(experiment.results))[-keep:]
            remove_checkpoints(experiment.results, steps_kept)

    def save_if_best(self, accuracy):
        """Keeps a checkpoint in best/, instead of the one there, if its accuracy is better.

        One of more images counts more than any of fewer.

        Args:
          accuracy: training.evaluation.Accuracy.
        """
        folder, of = self.experiment.results / BEST, accuracy.num_images
        if (folder / RESULT).exists():
            step, best, of_best = _read_best(folder / RESULT)
            is_better = (of, accuracy.top1) > (of if of_best is None else of_best, best or 0.0)
            if step in list_checkpoints(folder) and not is_better:
                remove_checkpoints(folder, [step])  # one that a kill has left
                return
        save_checkpoint(folder, self.step, self.model, self.optimizer, self.experiment.config.seed)
        content = {"step": self.step, "accuracy": accuracy.top1, "num_images": of}
        write_json(folder / RESULT, content)
        remove_checkpoints(folder, [self.step])


def _read_best(path):
    """(step, accuracy, of how many images) of what is kept in best/; None for what nobody knows."""
    with contextlib.suppress(SettingError, ValueError, TypeError, KeyError):
        content = read_json(path)
        of = content.get("num_images")  # files of long ago have none
        return int(content["step"]), float(content["accuracy"]), None if of is None else int(of)
    print(f"notice: {path} is damaged: the best counts from now on", flush=True)
    return None, None, None
