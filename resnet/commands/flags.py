"""Flags that training scripts share, and the config and options that they give."""

import dataclasses
import math
import shlex
import sys

from absl import flags

from resnet.configs import config_from_json, get_config, list_configs
from resnet.errors import UsageError
from resnet.models import DTYPES, LOOPS
from resnet.models.network import family_defaults
from resnet.reversible import BACKPROPS
from resnet.settings import RunOptions
from resnet.sizes import parse_size
from resnet.training.experiment import read_conf

FLAGS = flags.FLAGS

OVERRIDES = ("batch_size", "seed", "save_every")  # fields of the config
OPTIONS = tuple(field.name for field in dataclasses.fields(RunOptions))
# What a restored run may change: it is the same experiment, though only backprop in
# exact mode leaves every bit as it was.
FREE_ON_RESTORE = {
    "backprop",
    "loop",
    "memory_budget",
    "num_gpu",
    "logical_cpus",
    "num_pass",
    "jit",
    "deterministic",
    "save_every",
    "check_gradients_every",
    "max_num_steps",
    "keep_checkpoints",
    "keep_best",
}
PLACES = ("results", "logs", "data_folder", "data_dir")  # what a command to continue repeats


class SizeParser(flags.ArgumentParser):
    """Of flags such as --memory_budget 2GB."""

    syntactic_help = "a size, such as 800MB, 2GB or 1.5GiB"

    def parse(self, argument):
        """Bytes."""
        return argument if isinstance(argument, int) else parse_size(argument)


def define_model_flags():
    """Defines the flags that say how a model computes."""
    flags.DEFINE_enum(
        "backprop", None, BACKPROPS, "What the backward pass finds in memory; same numbers."
    )
    flags.DEFINE_enum("dtype", None, list(DTYPES), "Type of the arithmetic (default float32).")
    flags.DEFINE_boolean(
        "exact", None, "Keep a RevNet's residual stream on an exact grid (default for RevNets)."
    )
    flags.DEFINE_enum(
        "loop", None, LOOPS, "Run a RevNet's equal units in a loop; auto: where they are many."
    )
    flags.DEFINE(
        SizeParser(),
        "memory_budget",
        None,
        "Memory of a device, such as 2GB, for activations of units that then need not be "
        "recomputed.",
        serializer=flags.ArgumentSerializer(),
    )
    flags.DEFINE_enum("jit", None, ["auto", "on", "off"], "XLA; auto: on GPUs only.")


def define_experiment_flags(results):
    """Defines the flags that name an experiment and its folders; `results` is the default."""
    flags.DEFINE_string("id", None, "Experiment id (default: made of data set, model and time).")
    flags.DEFINE_string("results", results, "Folder of conf.json and checkpoints.")
    flags.DEFINE_string("logs", "./logs/public", "Folder of the logs.")


def define_best_flag():
    """Defines --best, for what takes a trained experiment."""
    flags.DEFINE_boolean(
        "best", False, "Take the checkpoint that --keep_best has kept, rather than the newest."
    )


def define_config_flags(default_model=None):
    """Defines the flags that name a config; `default_model` is trained if they say nothing."""
    default = f" (default {default_model})" if default_model else ""
    flags.DEFINE_string("model", None, f"Named config{default}; python -m resnet.configs lists.")
    flags.DEFINE_string(
        "config", None, "JSON file in the format of conf.json; fields it lacks come from --model."
    )


def define_training_flags(default_model, results):
    """Defines the flags of a training script.

    Args:
      default_model: config trained if --model and --config say nothing.
      results: default results folder.
    """
    define_experiment_flags(results)
    define_config_flags(default_model)
    flags.DEFINE_boolean("restore", False, "Continue the experiment --id at its last checkpoint.")
    flags.DEFINE_string(
        "init_from",
        None,
        "Experiment in --results whose weights to start from, but those whose shapes differ.",
    )
    flags.DEFINE_integer("max_num_steps", None, "Stop at this step.", lower_bound=1)
    flags.DEFINE_integer("batch_size", None, "Images a step, over all replicas.", lower_bound=1)
    flags.DEFINE_integer("seed", None, "Of initial weights and data order.", lower_bound=0)
    flags.DEFINE_integer("num_gpu", None, "GPUs to train on; 0 is the CPU.", lower_bound=0)
    flags.DEFINE_integer(
        "logical_cpus", None, "Split the CPU into as many replicas, for trials.", lower_bound=1
    )
    flags.DEFINE_integer(
        "num_pass",
        None,
        "Forward and backward passes over parts of a batch before an update (default 1).",
        lower_bound=1,
    )
    flags.DEFINE_integer("save_every", None, "Steps between checkpoints.", lower_bound=1)
    flags.DEFINE_integer(
        "keep_checkpoints", None, "Keep the newest only (default: all).", lower_bound=1
    )
    flags.DEFINE_boolean(
        "keep_best", None, "Also keep the checkpoint of the best evaluation, in best/."
    )
    define_model_flags()
    flags.DEFINE_integer(
        "check_gradients_every",
        None,
        "Steps between comparisons of reversible gradients to stored ones, for the logs.",
        lower_bound=0,
    )
    flags.DEFINE_boolean(
        "dry_run", False, "Print model, memory, steps and data, then exit without training."
    )
    flags.DEFINE_boolean(
        "smoke_test", False, "Try the run on a few tiny batches, leave nothing, and exit."
    )


def resolve_config(default_model, num_classes):
    """(Config, run options of a --config file) from --model, --config and overrides.

    Args:
      default_model: name.
      num_classes: {data set: number of classes, or None: the config's own}; the first
        is the default.

    Raises:
      UsageError: --model and the file name two models, or an unknown data set.
    """
    fields, run = read_conf(FLAGS.config) if FLAGS.config else ({}, {})
    named = fields.get("name")
    if FLAGS.model and named in list_configs() and named != FLAGS.model:
        raise UsageError(
            f"--model is {FLAGS.model}, but {FLAGS.config} is of {named}: leave one of them out"
        )
    if FLAGS.model is None and fields:
        config = config_from_json(fields)
    else:
        config = config_from_json(fields, get_config(FLAGS.model or default_model))
    overrides = _given(OVERRIDES)
    asked = FLAGS.dataset if "dataset" in FLAGS else None
    dataset = asked or run.get("dataset") or next(iter(num_classes))
    if dataset not in num_classes:
        raise UsageError(
            f"{FLAGS.config}: dataset is {dataset!r}, but must be one of {', '.join(num_classes)}"
        )
    overrides["num_classes"] = num_classes[dataset] or config.num_classes
    return dataclasses.replace(config, **overrides), run | {"dataset": dataset}


def _given(names):
    """{name: value} of the flags among `names` that exist and have a value."""
    return {n: FLAGS[n].value for n in names if n in FLAGS and FLAGS[n].value is not None}


def default_options(config):
    """{run option: value} where the config's family decides."""
    return dict(zip(("backprop", "exact"), family_defaults(config), strict=True))


def resolve_options(config, run):
    """RunOptions from flags, a --config file's run options and the family's defaults."""
    return RunOptions(**(default_options(config) | run | _given(OPTIONS)))


def restored_options(experiment):
    """The experiment with what flags may change on --restore.

    Raises:
      UsageError: a flag would make it another experiment.
    """
    config, options = experiment.config, experiment.options
    now = vars(options) | {name: getattr(config, name) for name in OVERRIDES}
    if FLAGS.config:
        raise UsageError("--config does not go with --restore: conf.json of the experiment holds")
    if FLAGS.model not in (None, config.name):
        raise UsageError(f"--model is {FLAGS.model}, but {experiment.id} trains {config.name}")
    for name, value in _given(now).items():
        if FLAGS[name].present and value != now[name] and name not in FREE_ON_RESTORE:
            raise UsageError(
                f"--{name} is {value}, but {experiment.id} was started with {now[name]}: "
                "leave it out to continue, or start a new experiment"
            )
    changed = _given(FREE_ON_RESTORE)
    # One of them given ends the other.
    if changed.keys() & {"num_gpu", "logical_cpus"}:
        changed = {"num_gpu": None, "logical_cpus": None} | changed
    save_every = changed.pop("save_every", config.save_every)
    return dataclasses.replace(
        experiment,
        config=dataclasses.replace(config, save_every=save_every),
        options=dataclasses.replace(options, **changed),
    )


def resolve_jit(jit, placement):
    """Whether to compile with XLA: auto is on for GPUs, off on the CPU, where it is slower."""
    if jit == "on" and not placement.uses_gpu:
        print(
            "warning: on CPUs XLA is slower, and its scheduler may run recomputation early, so "
            "that nothing is freed: leave --jit at auto, unless this is a trial"
        )
    return jit == "on" or (jit == "auto" and placement.uses_gpu)


def require_division(config, options, shares):
    """Checks that a batch divides over its shares and passes.

    Args:
      config, options: Config and RunOptions.
      shares: {what a batch is shared by: how many}, such as {"hosts": 2, "GPUs": 4}.

    Raises:
      UsageError: it does not.
    """
    shares = shares | {"passes": options.num_pass}
    parts = math.prod(shares.values())
    if config.batch_size % parts:
        named = " times ".join(f"{count} {name}" for name, count in shares.items() if count > 1)
        raise UsageError(
            f"batch_size is {config.batch_size}, which does not divide over {named}: give one that "
            f"is a multiple of {parts}"
        )


def require_preprocessor(config, preprocessors, default_model):
    """Checks that a script has the images that a config takes.

    Raises:
      UsageError: it has not.
    """
    if config.preprocessor not in preprocessors:
        raise UsageError(
            f"{config.name} takes {config.image_size}x{config.image_size} images prepared by "
            f"{config.preprocessor!r}, but this trains with "
            f"{' or '.join(map(repr, preprocessors))}: choose a model such as {default_model}"
        )


def command_line():
    """This process's command line."""
    return shlex.join(sys.argv)


def given_places():
    """The flags of this command line that say where data, results and logs are."""
    return [f"--{n}={FLAGS[n].value}" for n in PLACES if n in FLAGS and FLAGS[n].present]


def resume_command(experiment):
    """The command line that continues an experiment."""
    script = sys.argv[0] if "/" in sys.argv[0] else f"./{sys.argv[0]}"
    return shlex.join([script, "--restore", "--id", experiment.id, *given_places()])
