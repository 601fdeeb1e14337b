"""Flags of training commands, and the config and options that they give."""

import dataclasses
import math
import os
import shlex

from resnet.commands.allocator import ALLOCATORS
from resnet.configs import config_from_json, get_config, list_configs
from resnet.configs.config import IN_EPOCHS
from resnet.configs.recipes import RECIPES
from resnet.errors import UsageError, shown
from resnet.pretrained import PREFIX, find_pretrained, open_pretrained
from resnet.settings import FREE, Computation, Recipe, RunOptions, SettingError, fields_of, wrong
from resnet.training.conf import read_conf

RECIPE = fields_of(Recipe)
OPTIONS = fields_of(RunOptions)
PLACES = ("results", "logs", "data_folder", "data_dir")
ESSENTIAL = (
    *("dataset", "model", "recipe", "config", "id", "restore", "max_num_steps", "dtype"),
    "backprop",
)
FOLDERS, TRIALS = "Folders", "Trials and checks"
CHOSEN_BY_FAMILY = "the model family's"


def define_experiment_flags(flags, results, id_text="Experiment."):
    """Defines the flags that name an experiment and its folders; `results` is the default."""
    define_results_flags(flags, results, id_text)
    flags.text(FOLDERS, "logs", "Folder of the logs.", "./logs/public")


def define_results_flags(flags, results, id_text):
    """Defines the flags that name an experiment and its results alone."""
    flags.text("Experiment", "id", id_text)
    flags.text(FOLDERS, "results", "Folder of conf.json and checkpoints.", results)


def define_best_flag(flags):
    """Defines --best, for what takes a trained experiment."""
    flags.switch(
        "Experiment",
        "best",
        "Take the checkpoint that --keep_best has kept, rather than the newest.",
    )


def define_weights_flags(flags, weights=None, default_model=None):
    """Defines the flags that name trained weights.

    `weights` is the default; `default_model` says whose they are if --model says nothing.
    """
    flags.text("Network", "model", "Named config.", default_text=default_model)
    flags.text(
        "Network",
        "weights",
        "Name of the data set, or a folder that resnet publish wrote.",
        weights,
    )


def trained_weights(flags, purpose):
    """The Pretrained that --model and --weights name; None if --id names an experiment instead.

    `purpose` is what the command does with either, such as "export".

    Raises:
      UsageError: neither is named, or both; there are no such weights.
    """
    if flags.id and flags.id.startswith(PREFIX):
        raise UsageError(f"--id is {flags.id!r}: give trained weights as --model and --weights")
    if flags.id and not (flags.model or flags.weights):
        return None
    is_known = flags.weights and (flags.model or os.sep in flags.weights)
    if is_known and not (flags.id or flags.best):
        return find_pretrained(flags.model or open_pretrained(flags.weights).model, flags.weights)
    raise UsageError(
        f"either --id is needed, the experiment to {purpose}, perhaps with --best, or trained "
        "weights: --weights FOLDER, or both --model and --weights"
    )


def define_config_flags(flags, default_model=None):
    """Defines the flags that name a config; `default_model` is trained if they say nothing."""
    flags.text(
        "Network", "model", "Named config; resnet configs lists them.", default_text=default_model
    )
    flags.text(
        "Network",
        "config",
        "JSON file in the format of conf.json; fields it lacks come from --model.",
    )


def define_allocator_flag(flags):
    """Defines the flag that has the process start again with another allocator."""
    flags.text(
        Computation.HEADING,
        "allocator",
        "What gives memory, on Linux: tcmalloc takes less, mostly; glibc least, and time.",
        default_text="the system's",
        choices=ALLOCATORS,
    )


def define_computation_flags(flags):
    """Defines the flags that say how a model computes."""
    for name, field in fields_of(Computation).items():
        by_family = name in ("backprop", "exact")
        flags.setting(field, CHOSEN_BY_FAMILY if by_family else None)
    flags.setting(OPTIONS["jit"])


def define_training_flags(flags, default_model, results, without=()):
    """Defines the flags of a training command.

    Args:
      flags: Flags.
      default_model: config trained if --model and --config say nothing.
      results: default results folder.
      without: settings of recipes and run options that it does not have.
    """
    define_config_flags(flags, default_model)
    define_experiment_flags(
        flags, results, "Experiment id; without, one made of data set, model and time."
    )
    flags.switch("Experiment", "restore", "Continue the experiment --id at its last checkpoint.")
    flags.integer(
        "Experiment",
        "restore_step",
        "With --restore: continue at this step's checkpoint; later ones are set aside.",
        default_text="the last",
    )
    for name, field in RECIPE.items():
        if name not in without:
            flags.setting(field, "the config's")
    define_allocator_flag(flags)
    define_computation_flags(flags)
    flags.settings(OPTIONS, without={*without, "dataset", "jit", *fields_of(Computation)})
    flags.switch(TRIALS, "dry_run", "Print model, memory, steps and data, then exit.")
    flags.switch(TRIALS, "time", "With --dry_run: time a few steps, and say what all of them take.")
    flags.switch(TRIALS, "smoke_test", "Try the run on a few tiny batches, leave nothing.")


def resolve_config(flags, default, num_classes):
    """(Config, run options of a --config file) from --model, --config and recipe flags.

    Args:
      flags: Flags.
      default: Config of a run that names none.
      num_classes: {data set: number of classes, or a function of the file's fields that returns
        it; None: the config's own}; the first is the default.

    Raises:
      UsageError: --model and the file name two models, the file sets what --recipe does, or an
        unknown data set.
    """
    fields, run = read_conf(flags.config) if flags.config else ({}, {})
    named = fields.get("name")
    if flags.model and named in list_configs() and named != flags.model:
        raise SettingError(
            f"--model is {flags.model}, but {flags.config} is of {named}: leave one of them out",
            "model",
        )
    overrides = flags.given(RECIPE)
    _require_one_recipe(flags.config, fields, overrides)
    for steps, epochs in IN_EPOCHS.items():  # a flag counts before either form of it in the file
        if steps in overrides or overrides.get(epochs):
            fields = {n: value for n, value in fields.items() if n not in (steps, epochs)}
    dataset = getattr(flags, "dataset", None) if "dataset" in flags else None
    dataset = dataset or run.get("dataset") or next(iter(num_classes))
    if dataset not in num_classes:
        raise SettingError(
            f"{flags.config}: dataset is {dataset!r}, but must be one of {', '.join(num_classes)}",
            "dataset",
        )
    count = num_classes[dataset]
    count = count(fields) if callable(count) else count
    if count:
        if fields.get("num_classes", count) != count:
            print(
                f"{count} classes, as {dataset} has: num_classes of {flags.config} is not taken",
                flush=True,
            )
        overrides["num_classes"] = count
    if flags.model is None and fields:
        config = config_from_json(fields | overrides)
    else:
        config = config_from_json(
            fields | overrides, get_config(flags.model) if flags.model else default
        )
    return config, run | {"dataset": dataset}


def in_steps(config, num_images):
    """A new run's config with its epochs as steps.

    Args:
      config: Config.
      num_images: () -> how many images train.

    Raises:
      SettingError: boundaries past the end, or a warm-up longer than the run.
    """
    if config.num_epochs or config.warmup_epochs:
        config = config.in_steps(num_images())
    if config.boundaries and config.boundaries[-1] >= config.num_steps > 0:
        wanted = (
            f"below num_steps, {config.num_steps}, where training ends: give others, or a schedule "
            "without, such as --schedule cosine or --recipe fast; --max_num_steps ends the "
            "config's own earlier"
        )
        raise wrong("", "boundaries", config.boundaries, wanted, "num_steps")
    return config


def _require_one_recipe(path, fields, given):
    """Checks that a config file says nothing of what --recipe sets: neither should be ignored.

    Raises:
      SettingError: it does.
    """
    if "recipe" not in given:
        return
    recipe = given["recipe"]
    if both := sorted(fields.keys() & {"recipe", *RECIPES[recipe]}):
        raise SettingError(
            f"--recipe is {recipe}, but {path} has {', '.join(both)}: leave one of them out",
            "recipe",
        )


def require_known(flags, run):
    """Checks that a --config file asks for no run option that this command has not.

    Raises:
      SettingError: it does.
    """
    for name, value in run.items():
        field = OPTIONS[name]
        is_implied = name == "deterministic"  # without the flag, images always are
        is_known = name in flags or field.facts.is_fixed or is_implied
        if not is_known and value != field.default:
            raise SettingError(
                f"{flags.config}: run option {name} is {shown(value)}, but {flags.program} has no "
                "such option: leave it out",
                name,
            )


def resolve_options(config, run, given):
    """RunOptions of a config.

    Args:
      config: Config.
      run: run options of a --config file, a dict.
      given: run options of flags, a dict; they count before the file's.
    """
    from resnet.models import computation_for  # loads TensorFlow

    asked = run | given
    defaults = vars(computation_for(config, **{n: asked.get(n) for n in ("backprop", "exact")}))
    return RunOptions(**({n: defaults[n] for n in ("backprop", "exact")} | asked))


def restored_options(flags, experiment, num_images):
    """The experiment with what flags may change on --restore.

    Args:
      flags: Flags.
      experiment: Experiment, as it was started.
      num_images: () -> how many images train, for flags in epochs.

    Raises:
      SettingError: a flag would make it another experiment.
    """
    config, options = experiment.config, experiment.options
    if flags.config:
        raise SettingError(
            "--config does not go with --restore: conf.json of the experiment holds", "config"
        )
    if flags.model not in (None, config.name):
        raise SettingError(
            f"--model is {flags.model}, but {experiment.id} trains {config.name}: leave it out to "
            "continue",
            "model",
        )
    given = {n: v for n, v in flags.given([*RECIPE, *OPTIONS]).items() if flags.is_given(n)}
    for name, value in given.items():
        if name in IN_EPOCHS.values():
            _require_same_epochs(experiment, name, value, num_images)
            continue
        was = getattr(config if name in RECIPE else options, name)
        if value != was and name not in FREE:
            raise SettingError(
                f"--{name} is {value}, but {experiment.id} was started with {was}: "
                "leave it out to continue, or start a new experiment",
                name,
            )
    changed = {n: v for n, v in given.items() if n in FREE}
    # One of them given ends the other.
    if changed.keys() & {"num_gpu", "logical_cpus"}:
        changed = {"num_gpu": None, "logical_cpus": None} | changed
    of_recipe = {n: v for n, v in changed.items() if n in RECIPE}
    return dataclasses.replace(
        experiment,
        config=dataclasses.replace(config, **of_recipe),
        options=dataclasses.replace(options, **{n: v for n, v in changed.items() if n in OPTIONS}),
    )


def _require_same_epochs(experiment, name, value, num_images):
    """Checks that a flag in epochs is what an experiment, which keeps steps, was started with.

    Raises:
      SettingError: it is not.
    """
    config = experiment.config
    if not value:  # says nothing
        return
    in_steps = next(steps for steps, epochs in IN_EPOCHS.items() if epochs == name)
    asked = getattr(dataclasses.replace(config, **{name: value}).in_steps(num_images()), in_steps)
    if asked != getattr(config, in_steps):
        raise SettingError(
            f"--{name} is {value:g}, which is {asked} steps, but {experiment.id} was started with "
            f"{in_steps} {getattr(config, in_steps)}: leave it out to continue, or start a new "
            "experiment",
            name,
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
      SettingError: it does not.
    """
    shares = shares | {"passes": options.num_pass}
    parts = math.prod(shares.values())
    if config.batch_size % parts:
        named = " times ".join(f"{count} {name}" for name, count in shares.items() if count > 1)
        raise SettingError(
            f"batch_size is {config.batch_size}, which does not divide over {named}: give one that "
            f"is a multiple of {parts}",
            "batch_size",
            "num_pass",
            "logical_cpus",
            "num_gpu",
        )


def require_no(flags, names, what):
    """Checks that flags that do not go with what is done are not given.

    Raises:
      UsageError: one is; `what` stands behind "does not go with".
    """
    for name in names:
        if flags.is_given(name):
            raise UsageError(f"--{name} does not go with {what}: leave it out")


def require_preprocessor(config, preprocessors, default_model):
    """Checks that a command has the images that a config takes.

    Raises:
      SettingError: it has not.
    """
    if config.preprocessor not in preprocessors:
        raise SettingError(
            f"{config.name} takes {config.image_size}x{config.image_size} images prepared by "
            f"{config.preprocessor!r}, but this trains with "
            f"{' or '.join(map(repr, preprocessors))}: choose a model such as {default_model}",
            "preprocessor",
            "model",
        )


def given_arguments(flags, names):
    """The flags of this command line among `names`, as arguments."""
    return [argument(n, getattr(flags, n)) for n in names if flags.is_given(n)]


def argument(name, value):
    """A flag as an argument."""
    if isinstance(value, bool):
        return f"--{'' if value else 'no'}{name}"
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
    return f"--{name}={text}"


def resume_command(flags, experiment):
    """The command line that continues an experiment, with what this one may have changed."""
    always = (*PLACES, "allocator")
    repeated = [n for n in flags.names() if n in always or (n in FREE and flags.restore)]
    arguments = ["--restore", "--id", experiment.id, *given_arguments(flags, repeated)]
    return f"{flags.program} {shlex.join(arguments)}"
