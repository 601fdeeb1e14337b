"""What run_imagenet_train.py trains: shards in ImageNet's format."""

import shlex

from absl import flags

from resnet.commands import flags as training_flags
from resnet.commands.train import Task, run_training
from resnet.data.imagenet.input import imagenet_feed, open_imagenet
from resnet.data.imagenet.preprocessing import PREPROCESSORS

FLAGS = flags.FLAGS
DEFAULT_MODEL = "revnet-56"
DATASET = "imagenet"
RESULTS, DATA_DIR = "./results/imagenet", "./data/imagenet"


def define_flags():
    """Defines the script's flags."""
    training_flags.define_training_flags(DEFAULT_MODEL, RESULTS)
    define_data_dir()
    flags.DEFINE_boolean(
        "deterministic", None, "Let a step's images depend on seed and step alone (slower)."
    )


def define_data_dir():
    """Defines --data_dir."""
    flags.DEFINE_string("data_dir", DATA_DIR, "Folder of the train and validation shards.")


def main():
    """Trains, and says how to evaluate."""
    run_training(
        Task(
            DEFAULT_MODEL,
            {DATASET: None},
            tuple(PREPROCESSORS),
            _load,
            _make_feed,
            _name_evaluation,
            sample=lambda imagenet: imagenet,  # shards are read as they are needed
            all_gpus=True,
        )
    )


def _load(experiment):
    imagenet = open_imagenet(FLAGS.data_dir, experiment.config.num_classes)
    print(
        f"{imagenet.num_images('train'):,} training images in "
        f"{len(imagenet.shards['train']):,} shards of {FLAGS.data_dir}",
        flush=True,
    )
    return imagenet


def _make_feed(imagenet, experiment, _):
    return imagenet_feed(imagenet, experiment.config, experiment.options.deterministic)


def _name_evaluation(_, experiment):
    command = ["./run_imagenet_eval.py", "--id", experiment.id, *training_flags.given_places()]
    print(f"Trained {experiment.num_steps} steps. Evaluate with: {shlex.join(command)}")
