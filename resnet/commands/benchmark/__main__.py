"""Measures training: speed and memory; or the speed of a data set's input.

    python -m resnet benchmark --model revnet-110 --batch_size 128 --dtype float32 --steps 5
    python -m resnet benchmark --data imagenet --data_dir data/imagenet

    python -m resnet benchmark --compare --model revnet-110 --memcnn_python ENV/bin/python

Prints one JSON line; with --compare, a Markdown table. Nothing else should run meanwhile.

Training is measured on random images. `peak_rss_mb` is the process's peak resident
size over its size before the first step; `--memory_slope 64,256` adds `mb_per_image`,
the slope of that peak between two batch sizes, each in a process of its own.

Input is measured against the bare rate of decoding the same images in full.
"""

import json

from absl import flags

from resnet.commands import cli
from resnet.commands.benchmark.compare import compare
from resnet.commands.benchmark.data import measure_input
from resnet.commands.benchmark.training import measure_training
from resnet.commands.flags import define_model_flags
from resnet.commands.imagenet_train import DATA_DIR

FLAGS = flags.FLAGS


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_string("model", "revnet-38", "Named config.")
    flags.DEFINE_list("units", None, "Units of each stage instead of the config's, such as 3,3,3.")
    flags.DEFINE_integer("batch_size", 128, "Images a step.", lower_bound=1)
    define_model_flags()
    flags.DEFINE_integer("steps", 5, "Steps that are timed, after the first.", lower_bound=1)
    flags.DEFINE_list("memory_slope", None, "Two batch sizes, such as 64,256.")
    flags.DEFINE_enum("data", None, ["imagenet"], "Measure the input of this data set instead.")
    flags.DEFINE_string("data_dir", DATA_DIR, "Folder of its shards.")
    flags.DEFINE_boolean("compare", False, "Measure ways to train --model side by side; a table.")
    flags.DEFINE_integer("rounds", 3, "Of --compare.", lower_bound=1)
    flags.DEFINE_string(
        "memcnn_python", None, "Python of an environment with torch and memcnn, for --compare."
    )
    flags.DEFINE_boolean(
        "recompute_grad", False, "With --backprop checkpoint: by tf.recompute_grad, unit by unit."
    )
    flags.DEFINE_boolean("in_process", False, "Measure in this process; used internally.")


def main():
    """Prints one JSON line, or a table."""
    if FLAGS.compare:
        print(compare())
    else:
        print(json.dumps(measure_input() if FLAGS.data else measure_training()))


if __name__ == "__main__":
    define_flags()
    cli.run(main, starts_devices=False)
