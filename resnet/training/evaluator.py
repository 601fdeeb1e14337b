"""Evaluates checkpoints of a training, beside it or later, and logs the accuracies."""

import functools
import time

import tensorflow as tf

from resnet.errors import UserError, message_of
from resnet.models import get_model
from resnet.ownership import is_owned
from resnet.training.bad_data import BAD_DATA, bad_data
from resnet.training.evaluation import Evaluation
from resnet.training.experiment import end_of
from resnet.training.logs import Logs, drop_later_events, drop_later_rows
from resnet.weights.checkpoint import list_checkpoints, restore_checkpoint
from resnet.weights.checkpoint_format import CheckpointError

NUM_TRAIN_BATCHES = 100
POLL_SECONDS = 1
# split -> names of its top-1 and top-5 logs
LOGGED = {
    "train": ("eval_train_acc", "eval_train_top5"),
    "validation": ("valid_acc", "valid_top5"),
}
NUM_IMAGES = "valid_images"  # the log of how many images of "validation" a row is of
COLUMNS = dict.fromkeys((name for names in LOGGED.values() for name in names), "acc")
COLUMNS[NUM_IMAGES] = "count"
EVENTS = "eval"  # TensorBoard's folder
COMMANDS = "eval_cmd.txt"  # the training's own are in cmd.txt


def drop_later(logs, step):
    """Drops what is of later steps, whose checkpoints are set aside, from an evaluator's logs."""
    for name, column in COLUMNS.items():
        drop_later_rows(logs / f"{name}.csv", column, step)
    drop_later_events(logs / EVENTS, step)


class Evaluator:
    """Restores checkpoints of an experiment on a streamed data set, evaluates and logs them."""

    def __init__(self, experiment, entry, data, placement, command):
        """Builds the model.

        Args:
          experiment: Experiment; its options say how many images of each split, and whether
            mirror images count.
          entry: data.entry.Streamed.
          data: what its `load` opened, with the splits of LOGGED.
          placement: Placement.
          command: the command line, for the logs.
        """
        self.experiment, self._entry, self._data = experiment, entry, data
        config, options = experiment.config, experiment.options
        with placement.strategy.scope():
            self._model = get_model(
                config, backprop="stored", dtype=options.dtype, exact=options.exact
            )
        self._evaluation = Evaluation(self._model, placement.strategy, options.test_time_flip)
        self._batch_size = config.evaluation_batch_size * placement.num_replicas
        num_images = {
            "train": NUM_TRAIN_BATCHES * config.evaluation_batch_size,
            "validation": data.num_images("validation"),
        }
        self._num_images = {
            split: min(count, options.eval_images or count) for split, count in num_images.items()
        }
        self._logs = Logs(experiment.logs, command, COLUMNS, events=EVENTS, commands=COMMANDS)

    def done(self):
        """The steps that have been evaluated, on as many images as here."""
        # Read anew: a training that went back to an earlier step has dropped rows.
        rows = {name: dict(self._logs.values(name)) for name in COLUMNS}
        counts, wanted = rows.pop(NUM_IMAGES), self._num_images["validation"]
        # Logs of long ago do not say of how many images they are.
        steps = set.intersection(*map(set, rows.values()))
        return {step for step in steps if counts.get(step, wanted) >= wanted}

    def evaluate(self, step, prefix):
        """Evaluates one checkpoint on both splits."""
        config = self.experiment.config
        restore_checkpoint(prefix, self._model)
        for split, names in LOGGED.items():
            batches = self._entry.evaluation_batches(
                self._data, config, split, self._batch_size, self._num_images[split]
            )
            num_batches = -(-self._num_images[split] // self._batch_size)
            try:
                accuracy = self._evaluation(batches, name=split, num_batches=num_batches)
            except tf.errors.ResourceExhaustedError as error:
                raise UserError(
                    f"out of memory: {message_of(error)}. Choose a GPU that no training holds, "
                    "CUDA_VISIBLE_DEVICES=N, or the CPU, --num_gpu 0"
                ) from None
            except BAD_DATA as error:
                find = functools.partial(self._entry.find_damage, self._data, config, split)
                raise bad_data(error, split, find) from None
            if split == "validation":  # before them: a kill leaves no accuracy without its number
                self._logs.write(NUM_IMAGES, step, self._num_images[split])
            for name, value in zip(names, (accuracy.top1, accuracy.top5), strict=True):
                self._logs.write(name, step, value)
            print(
                f"step {step}: {split}, {accuracy.num_images:,} images: "
                f"top-1 accuracy {accuracy.top1:.3f} (error {100 - accuracy.top1:.3f}), "
                f"top-5 accuracy {accuracy.top5:.3f} (error {100 - accuracy.top5:.3f})",
                flush=True,
            )
            if accuracy.flipped_top1 is not None:
                print(
                    f"step {step}: {split}, with mirror images: top-1 accuracy "
                    f"{accuracy.flipped_top1:.3f}, top-5 accuracy {accuracy.flipped_top5:.3f}",
                    flush=True,
                )
        self._logs.flush()

    def follow(self):
        """Evaluates checkpoints that have not been, as they come, until that of the last step."""
        says_so = True
        while True:
            checkpoints, done = list_checkpoints(self.experiment.results), self.done()
            for step, prefix in checkpoints.items():
                if step not in done:
                    self._evaluate_if_there(step, prefix)
            # Read again: a restored training may have been given another end.
            if max(checkpoints, default=0) >= end_of(self.experiment):
                return
            if says_so and not is_owned(self.experiment.results):
                print(
                    f"no process trains {self.experiment.id} now: waiting for one that continues "
                    "it (--restore); Ctrl-C ends this",
                    flush=True,
                )
                says_so = False
            time.sleep(POLL_SECONDS)

    def _evaluate_if_there(self, step, prefix):
        try:
            self.evaluate(step, prefix)
        except CheckpointError:
            # A training that keeps the newest ones only may have removed it just now.
            if step in list_checkpoints(self.experiment.results):
                raise
            print(f"step {step}: removed before it was evaluated", flush=True)
