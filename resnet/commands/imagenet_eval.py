"""What run_imagenet_eval.py does: checkpoints of an experiment -> accuracies."""

import time

import tensorflow as tf
from absl import flags

from resnet.commands import flags as training_flags
from resnet.commands.imagenet_train import DATASET, RESULTS, define_data_dir
from resnet.data.imagenet.input import evaluation_batches, open_imagenet
from resnet.errors import UsageError, UserError, message_of
from resnet.models import get_model
from resnet.training.evaluation import Evaluation
from resnet.training.experiment import load_experiment
from resnet.training.logs import Logs
from resnet.training.placement import place
from resnet.weights.checkpoint import list_checkpoints, restore_checkpoint
from resnet.weights.checkpoint_format import CheckpointError

FLAGS = flags.FLAGS
NUM_TRAIN_BATCHES = 100
POLL_SECONDS = 1
# split -> names of its top-1 and top-5 logs
LOGGED = {
    "train": ("eval_train_acc", "eval_train_top5"),
    "validation": ("valid_acc", "valid_top5"),
}


def define_flags():
    """Defines the script's flags."""
    training_flags.define_experiment_flags(RESULTS)
    define_data_dir()
    flags.DEFINE_integer("ckpt_num", None, "Step to evaluate (default: the newest).", lower_bound=0)
    flags.DEFINE_boolean(
        "follow", False, "Evaluate each checkpoint as it comes, until training is finished."
    )
    flags.DEFINE_integer("num_gpu", None, "GPUs to evaluate on; 0 is the CPU.", lower_bound=0)
    flags.DEFINE_integer(
        "logical_cpus", None, "Split the CPU into as many replicas, for trials.", lower_bound=1
    )


def main():
    """Evaluates one checkpoint or, with --follow, all."""
    if not FLAGS.id:
        raise UsageError("--id is needed: the experiment to evaluate")
    if FLAGS.follow and FLAGS.ckpt_num is not None:
        raise UsageError(f"--follow and --ckpt_num {FLAGS.ckpt_num} exclude each other")
    experiment = _experiment()
    steps = list_checkpoints(experiment.results)
    step = max(steps, default=None) if FLAGS.ckpt_num is None else FLAGS.ckpt_num
    if step not in steps and not FLAGS.follow:
        known = f"it has steps {', '.join(map(str, steps))}" if steps else "it has none yet"
        asked = "checkpoint" if FLAGS.ckpt_num is None else f"checkpoint of step {step}"
        raise UsageError(
            f"no {asked} in {str(experiment.results)!r}: {known}. Train first, or wait for "
            "checkpoints with --follow"
        )
    placement = place(FLAGS.num_gpu, FLAGS.logical_cpus)
    evaluator = _Evaluator(experiment, placement)
    if FLAGS.follow:
        _follow(evaluator)
    else:
        evaluator.evaluate(step, steps[step])


def _experiment():
    experiment = load_experiment(FLAGS.id, FLAGS.results, FLAGS.logs)
    if experiment.options.dataset != DATASET:
        raise UsageError(
            f"experiment {experiment.id!r} trains on {experiment.options.dataset}, not on "
            f"{DATASET}: give the --id and --results of an ImageNet experiment"
        )
    return experiment


def _follow(evaluator):
    """Evaluates checkpoints that have not been, until that of the last step."""
    print(f"following {FLAGS.id}", flush=True)
    while True:
        checkpoints = list_checkpoints(evaluator.experiment.results)
        for step, prefix in checkpoints.items():
            if not evaluator.is_done(step):
                _evaluate_if_there(evaluator, step, prefix)
        # Read again: a restored training may have been given another end.
        if max(checkpoints, default=0) >= _experiment().num_steps:
            return
        time.sleep(POLL_SECONDS)


def _evaluate_if_there(evaluator, step, prefix):
    try:
        evaluator.evaluate(step, prefix)
    except CheckpointError:
        # A training that keeps the newest ones only may have removed it just now.
        if step in list_checkpoints(evaluator.experiment.results):
            raise
        print(f"step {step}: removed before it was evaluated", flush=True)


class _Evaluator:
    """Restores checkpoints of an experiment, evaluates and logs them."""

    def __init__(self, experiment, placement):
        self.experiment = experiment
        config, options = experiment.config, experiment.options
        self._imagenet = open_imagenet(FLAGS.data_dir, config.num_classes, tuple(LOGGED))
        with placement.strategy.scope():
            self._model = get_model(config, "stored", options.dtype, options.exact)
        self._evaluation = Evaluation(self._model, placement.strategy)
        self._batch_size = config.evaluation_batch_size * placement.num_replicas
        columns = dict.fromkeys((name for names in LOGGED.values() for name in names), "acc")
        self._logs = Logs(experiment.logs, training_flags.command_line(), columns, events="eval")
        print(f"evaluating {config.name} on {placement}", flush=True)

    def is_done(self, step):
        """Whether a step has been evaluated."""
        return all(self._logs.has(name, step) for names in LOGGED.values() for name in names)

    def evaluate(self, step, prefix):
        """Evaluates one checkpoint on both splits."""
        config = self.experiment.config
        restore_checkpoint(prefix, self._model)
        num_images = {
            "train": NUM_TRAIN_BATCHES * config.evaluation_batch_size,
            "validation": self._imagenet.num_images("validation"),
        }
        for split, names in LOGGED.items():
            batches = evaluation_batches(
                self._imagenet, config, split, self._batch_size, num_images[split]
            )
            try:
                accuracy = self._evaluation(batches)
            except tf.errors.ResourceExhaustedError as error:
                raise UserError(
                    f"out of memory: {message_of(error)}. Choose a GPU that no training holds, "
                    "CUDA_VISIBLE_DEVICES=N, or the CPU, --num_gpu 0"
                ) from None
            for name, value in zip(names, (accuracy.top1, accuracy.top5), strict=True):
                self._logs.write(name, step, value)
            print(
                f"step {step}: {split}, {accuracy.num_images:,} images: "
                f"top-1 accuracy {accuracy.top1:.3f} (error {100 - accuracy.top1:.3f}), "
                f"top-5 accuracy {accuracy.top5:.3f} (error {100 - accuracy.top5:.3f})",
                flush=True,
            )
        self._logs.flush()
