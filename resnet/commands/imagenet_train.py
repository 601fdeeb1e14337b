"""Trains a ResNet or RevNet on ImageNet, by synchronous SGD on several GPUs or hosts.

Examples:

    ./run_imagenet_train.py --model revnet-104
    ./run_imagenet_train.py --model revnet-104 --num_gpu 1 --num_pass 4
    ./run_imagenet_train.py --restore --id EXP

`resnet train-imagenet` is the same. All visible GPUs are used, unless --num_gpu says otherwise.
"""

import shlex

from resnet.commands import options
from resnet.data.registry import IMAGENET, STREAMED
from resnet.plurals import counted
from resnet.weights.folder import IMAGENET_RESULTS as RESULTS

ESSENTIAL = (*options.ESSENTIAL, "data_dir", "num_gpu", "num_pass")
DEFAULT_MODEL = "revnet-56"
# A process of its own evaluates.
OF_EVALUATION = ("evaluate_every", "eval_images", "test_time_flip", "keep_best")


def define_flags(flags):
    """Defines the command's flags."""
    flags.text("Data", "dataset", "Data set.", default_text=IMAGENET.name, choices=STREAMED)
    options.define_training_flags(
        flags, DEFAULT_MODEL, RESULTS, without=("validation", "strict", *OF_EVALUATION)
    )
    define_data_dir(flags)


def define_data_dir(flags):
    """Defines --data_dir."""
    flags.text(
        options.FOLDERS,
        "data_dir",
        "Folder of the train and validation shards.",
        default_text="./data/DATASET",
    )


def data_dir(flags, dataset):
    """The folder of a data set's shards."""
    return flags.data_dir or f"./data/{dataset}"


def main(flags):
    """Trains, and says how to evaluate."""
    from resnet.commands.train import Task, run_training

    def load(experiment):
        dataset = experiment.options.dataset
        folder = data_dir(flags, dataset)
        data = STREAMED[dataset].load(folder, experiment.config.num_classes)
        print(
            f"{data.num_images('train'):,} training images in "
            f"{len(data.shards['train']):,} shards of {folder}",
            flush=True,
        )
        return data

    def num_images(config, run, _):
        folder = data_dir(flags, run.dataset)
        return STREAMED[run.dataset].load(folder, config.num_classes).num_images("train")

    def classes_of(entry):
        """Function of a config file's fields that returns how many classes the data has.

        None: the config's own, if the file says it or the data does not.
        """

        def count(fields):
            folder = data_dir(flags, entry.name)
            return None if "num_classes" in fields else len(entry.classes(folder)) or None

        return count

    def make_feed(data, experiment, is_chief):
        run = experiment.options
        if is_chief and data.label_names:
            experiment.keep_label_names(data.label_names)
        return STREAMED[run.dataset].feed(data, experiment.config, run.deterministic)

    def name_evaluation(_, experiment):
        places = options.given_arguments(flags, options.PLACES)
        command = shlex.join(["--id", experiment.id, *places])
        print(
            f"Trained {counted(experiment.num_steps, 'step')}. Evaluate with: "
            f"{flags.program_of('run_imagenet_eval.py', 'evaluate')} {command}"
        )

    preprocessors = {name for entry in STREAMED.values() for name in entry.preprocessors}
    run_training(
        Task(
            DEFAULT_MODEL,
            {name: classes_of(entry) for name, entry in STREAMED.items()},
            tuple(sorted(preprocessors)),
            num_images,
            load,
            make_feed,
            name_evaluation,
            sample=lambda data: data,  # shards are read as they are needed
            all_gpus=True,
        ),
        flags,
    )
