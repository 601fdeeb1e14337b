"""Trains a ResNet or RevNet on ImageNet, by synchronous SGD on several GPUs or hosts.

Examples:

    ./run_imagenet_train.py --model revnet-104
    ./run_imagenet_train.py --model revnet-104 --num_gpu 1 --num_pass 4
    ./run_imagenet_train.py --restore --id EXP

`resnet train-imagenet` is the same. All visible GPUs are used, unless --num_gpu says otherwise.
"""

import shlex

from resnet.commands import options
from resnet.data.registry import IMAGENET

ESSENTIAL = ("data_dir", *options.ESSENTIAL[1:], "num_gpu", "num_pass")
DEFAULT_MODEL = "revnet-56"
RESULTS, DATA_DIR = "./results/imagenet", "./data/imagenet"


def define_flags(flags):
    """Defines the command's flags."""
    options.define_training_flags(flags, DEFAULT_MODEL, RESULTS, without=("validation",))
    define_data_dir(flags)


def define_data_dir(flags):
    """Defines --data_dir."""
    flags.text(options.FOLDERS, "data_dir", "Folder of the train and validation shards.", DATA_DIR)


def main(flags):
    """Trains, and says how to evaluate."""
    from resnet.commands.train import Task, run_training
    from resnet.data.imagenet.input import imagenet_feed, open_imagenet

    def load(experiment):
        imagenet = open_imagenet(flags.data_dir, experiment.config.num_classes)
        print(
            f"{imagenet.num_images('train'):,} training images in "
            f"{len(imagenet.shards['train']):,} shards of {flags.data_dir}",
            flush=True,
        )
        return imagenet

    def make_feed(imagenet, experiment, _):
        return imagenet_feed(imagenet, experiment.config, experiment.options.deterministic)

    def name_evaluation(_, experiment):
        command = shlex.join(
            ["--id", experiment.id, *options.given_arguments(flags, options.PLACES)]
        )
        print(
            f"Trained {experiment.num_steps} steps. Evaluate with: "
            f"{flags.program_of('run_imagenet_eval.py', 'evaluate')} {command}"
        )

    run_training(
        Task(
            DEFAULT_MODEL,
            {IMAGENET.name: None},
            IMAGENET.preprocessors,
            load,
            make_feed,
            name_evaluation,
            sample=lambda imagenet: imagenet,  # shards are read as they are needed
            all_gpus=True,
        ),
        flags,
    )
