"""From a YAML file to the runs that it asks for, validated whole."""

import dataclasses
import itertools
import math
import pathlib
import re

from resnet.commands import options
from resnet.commands.beginning import network_of_weights
from resnet.commands.cifar_train import DATA_FOLDER, DEFAULT_MODEL, num_images, require_size
from resnet.commands.experiments.cifar_vs_tensorflow2 import is_foreign, translate
from resnet.commands.experiments.yaml_file import Value, read_mappings
from resnet.configs import Config, config_from_json, get_config
from resnet.configs.config import IN_EPOCHS
from resnet.data.registry import CIFAR, CIFAR_CHOICES, CIFAR_PREPROCESSORS
from resnet.errors import UsageError, UserError, near, shown
from resnet.pretrained import PREFIX, by_reference
from resnet.settings import NetworkSettings, RunOptions, SettingError, fields_of, is_text, wrong
from resnet.training.experiment import Experiment, require_plain
from resnet.training.placement import require_one_place
from resnet.weights.checkpoint import list_checkpoints
from resnet.weights.folder import BEST

MOST_RUNS = 1_000  # of an experiment
OWN_KEYS = ("name", "seeds", "smoke_test")
# The same length in steps and in epochs, both ways.
COUNTERPARTS = IN_EPOCHS | {epochs: steps for steps, epochs in IN_EPOCHS.items()}
# What the training command takes if nothing is said.
DEFAULTS = {"model": DEFAULT_MODEL, "dataset": next(iter(CIFAR))}
# Fields of the config that no flag sets.
NETWORK = {
    name: field for name, field in fields_of(NetworkSettings).items() if not field.facts.is_fixed
}
# Flags of the training command that stand in files.
FLAG_SETTINGS = options.RECIPE | options.OPTIONS
OTHER_FLAGS = ("model", "data_folder", "logs")
NOT_FOR_FILES = ("deterministic",)
SETTINGS = {n: f for n, f in (FLAG_SETTINGS | NETWORK).items() if n not in NOT_FOR_FILES}
KNOWN_KEYS = {*OWN_KEYS, *OTHER_FLAGS, *SETTINGS}


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    id: the experiment's id.
    group: what its seeds share, a name for tables.
    flags: {flag of the training command: value}.
    changes: {field of the network: value}.
    config, options: what they make.
    smoke_test: whether to try it first.
    line: where its experiment begins in the file.
    """

    id: str
    group: str
    flags: dict
    changes: dict
    config: Config
    options: RunOptions
    smoke_test: bool
    line: int

    @property
    def source(self):
        """Id of the experiment whose weights it starts from, or None."""
        init_from = self.options.init_from
        if init_from is None or init_from.startswith(PREFIX):
            return None
        return init_from.removesuffix(f"/{BEST}")

    @property
    def num_steps(self):
        """The step at which it ends."""
        return _experiment(self.config, self.options).num_steps


def read_plan(path, results, defaults):
    """The runs of a YAML file.

    Args:
      path: of the file.
      results: folder in which `init_from` looks for experiments.
      defaults: {flag: value} for every experiment that does not set it.

    Returns:
      (runs, problems, notices): [Run] in order; [str], everything that is wrong, by file,
      line and key; [str] to print.

    Raises:
      UsageError: it is no YAML file of mappings.
    """
    plan = _Plan(path, results, defaults)
    for line, keys in read_mappings(path):
        plan.add(line, keys)
    return plan.runs, plan.problems, plan.notices


class _Plan:
    """Runs and what is wrong with their descriptions."""

    def __init__(self, path, results, defaults):
        self.path, self.runs, self.problems, self.notices = path, [], [], []
        self._results, self._defaults = results, defaults
        self._lines = {}  # name -> line
        self._ids, self._groups = {}, {}  # of runs -> name of their experiment

    def _problem(self, line, text):
        problem = f"{self.path}:{line}: {text}"
        if problem not in self.problems:  # runs of a sweep share most of their keys
            self.problems.append(problem)

    def add(self, line, keys):
        """Takes up one experiment, a {key: Value}."""
        if is_foreign(keys):
            keys, problems, notices = translate(line, keys)
            self.notices += [f"{self.path}:{line}: {text}" for line, text in notices]
            for where, text in problems:
                self._problem(where, text)
            if problems:
                return
        known = KNOWN_KEYS
        for key, value in keys.items():
            if key not in known:
                hint = near(key, known) or f"choose from {sorted(known)}"
                self._problem(value.line, f"unknown key {shown(key)}: {hint}")
        name = keys.get("name", Value(None, line))
        if not isinstance(name.content, str) or not re.fullmatch(r"\w[\w.+-]*", name.content):
            missing = "missing" if name.content is None else shown(name.content)
            self._problem(
                name.line,
                f"key 'name' is {missing}, but must be a text of letters, digits and .+-_",
            )
            name = Value(f"line-{line}", line)  # to see what else is wrong
        if name.content in self._lines:
            self._problem(
                name.line,
                f"key 'name': {name.content!r} stands in line {self._lines[name.content]} too: "
                "rename one",
            )
        self._lines.setdefault(name.content, name.line)
        smoke_test = keys.get("smoke_test", Value(True, line))
        if not isinstance(smoke_test.content, bool):
            self._problem(smoke_test.line, "key 'smoke_test' must be true or false")
            return
        settings = {k: value for k, value in keys.items() if k in known and k not in OWN_KEYS}
        if "seeds" in keys:
            if not isinstance(keys["seeds"].content, list):
                content = keys["seeds"].content
                self._problem(
                    keys["seeds"].line,
                    f"key 'seeds' is {shown(content)}, but must be a list, such as [0, 1, 2]",
                )
                return
            if "seed" in keys:
                self._problem(keys["seed"].line, "keys 'seed' and 'seeds' exclude each other")
            settings["seed"] = keys["seeds"]
        if "model" not in settings and not keys.keys() <= known:
            return  # perhaps it is the key that is misspelt
        if (count := _num_combinations(settings)) > MOST_RUNS:
            text = f"the lists of {name.content!r} make {count:,} runs: {MOST_RUNS:,} at most"
            self._problem(line, f"{text}; shorten them, or give experiments of their own")
            return
        ids = set()
        for chosen, suffixes in _sweep(settings):
            group = ".".join([name.content, *(s for k, s in suffixes.items() if k != "seed")])
            run_id = ".".join([name.content, *suffixes.values()])
            if run_id in ids:
                self._problem(line, f"a sweep of {name.content!r} lists a value twice: {run_id}")
                continue
            ids.add(run_id)
            if (other := self._ids.setdefault(run_id, name.content)) != name.content:
                self._problem(line, f"its run {run_id} is one of {other!r} too: rename one")
                continue
            if (other := self._groups.setdefault(group, name.content)) != name.content:
                self._problem(line, f"its row {group} is one of {other!r} too: rename one")
                continue
            try:
                require_plain(run_id)
            except UsageError as error:  # a sweep may make it long
                self._problem(line, error)
                continue
            self._add_run(line, run_id, group, chosen, smoke_test.content)
        for key, value in settings.items():
            if _is_sweep(key, value) and not value.content:
                named = "seeds" if key == "seed" else key
                self._problem(value.line, f"key {named!r} lists no value: give one or more")

    def _add_run(self, line, run_id, group, settings, smoke_test, left_out=frozenset()):
        """Takes up a run; `left_out` are keys that were found wrong: what else is?"""
        # A default gives way to the same in epochs, or in steps.
        defaults = {n: v for n, v in self._defaults.items() if COUNTERPARTS.get(n) not in settings}
        given, changes, failed = {"dataset": DEFAULTS["dataset"]} | defaults, {}, False
        for key, value in settings.items():
            place = changes if key in NETWORK else given
            try:
                place[key] = _checked(key, value.content)
            except SettingError as error:
                self._problem(value.line, f"key {key!r}: {error}")
                failed = True
        if failed:
            return
        try:
            given, changes = _with_model(given, changes)
            config, run_options = _resolve(given, changes)
            run = Run(run_id, group, given, changes, config, run_options, smoke_test, line)
            self._require_source(run)
        except UserError as error:
            if left_out & {*getattr(error, "keys", ())}:  # of a value that the file does not say
                return
            key = self._culprit(error, given, changes, settings)
            where = settings[key].line if key else line
            text = f"key {key!r}: {error}" if key else error
            self._problem(where, f"{run_id}: {text}{_sweep_hint(key, settings)}")
            if key and key not in DEFAULTS:  # is anything else wrong?
                others = {name: value for name, value in settings.items() if name != key}
                self._add_run(line, run_id, group, others, smoke_test, left_out | {key})
            return
        self.runs.append(run)

    def _culprit(self, error, given, changes, settings):
        """The key of `settings` that an error is about, or without which it is gone."""
        for key in getattr(error, "keys", ()):
            if key in settings:
                return key
        # What goes wrong without a key is not its fault; model and data set come last.
        last_first = list(reversed(settings))
        last_first.sort(key=lambda key: key in DEFAULTS)
        for key in last_first:
            less = [{k: v for k, v in group.items() if k != key} for group in (given, changes)]
            try:
                _resolve(DEFAULTS | self._defaults | less[0], less[1])
            except UserError:
                continue
            return key
        return None

    def _require_source(self, run):
        """Checks that what a run starts from is there, or made by a run before it."""
        source = run.options.init_from
        if source and source.startswith(PREFIX):
            by_reference(source)
        above = {before.id: before for before in self.runs}.get(run.source)
        if run.source is None or (above and (source == run.source or above.options.keep_best)):
            return
        if not list_checkpoints(pathlib.Path(self._results, source)):
            if above:
                raise SettingError(
                    f"init_from is {source!r}, but {run.source} keeps no best: give it keep_best, "
                    f"or leave /{BEST} out",
                    "init_from",
                )
            raise SettingError(
                f"init_from is {source!r}, which is no run above and has no checkpoint in "
                f"{str(self._results)!r}: give an id",
                "init_from",
            )


def _checked(key, content):
    """The value of a key.

    Raises:
      SettingError: it does not fit.
    """
    if key in SETTINGS and key != "dataset":
        return SETTINGS[key].checked(content)
    if is_text(content) and (key != "dataset" or content in CIFAR):
        return content
    wanted = f"one of {', '.join(CIFAR_CHOICES)}" if key == "dataset" else "a text"
    raise wrong("", key, content, wanted)


def _sweep_hint(key, settings):
    """What to add to an error of a list that may have been meant as a sweep."""
    if key in settings and _takes_list(key) and isinstance(settings[key].content, list):
        return ". (Several such lists to try are a list of lists: [[0.1], [0.01]])"
    return ""


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def _takes_list(key):
    return key in SETTINGS and SETTINGS[key].item is not None


def _is_sweep(key, value):
    """Whether a value lists values; of settings that are lists themselves, lists of lists do."""
    content = value.content
    return isinstance(content, list) and (not _takes_list(key) or any(map(_is_list, content)))


def _num_combinations(settings):
    """How many combinations `_sweep` gives."""
    return math.prod(len(v.content) for key, v in settings.items() if _is_sweep(key, v))


def _sweep(settings):
    """({key: Value}, {swept key: text for the id}) of every combination of listed values."""
    swept = {
        key: [Value(one, value.line) for one in value.content]
        for key, value in settings.items()
        if _is_sweep(key, value)
    }
    for choice in itertools.product(*swept.values()):
        chosen = dict(zip(swept, choice, strict=True))
        suffixes = {
            key: f"{key}-{re.sub(r'[^0-9A-Za-z_.+]+', '-', _text(value.content)).strip('-')}"
            for key, value in chosen.items()
        }
        yield settings | chosen, suffixes


def _is_list(value):
    return isinstance(value, list)


def _with_model(given, changes):
    """Flags and fields of the network of a run, with a model if they name none: the weights'."""
    if "model" in given:
        return given, changes
    model, own = network_of_weights(given.get("init_from"))
    return given | {"model": model or DEFAULTS["model"]}, own | changes


def _resolve(given, changes):
    """(Config, RunOptions) of flags and fields of the network.

    Raises:
      UsageError: they make no sense.
    """
    dataset = given["dataset"]
    fields = changes | {key: given[key] for key in options.RECIPE if key in given}
    data_folder = given.get("data_folder") or DATA_FOLDER
    fields["num_classes"] = CIFAR[dataset].counts(data_folder).num_classes
    config = config_from_json(fields, get_config(given["model"]))
    run = {key: given[key] for key in options.OPTIONS if key in given}
    run_options = options.resolve_options(config, {}, run)
    config = options.in_steps(config, lambda: num_images(config, run_options, data_folder))
    options.require_preprocessor(config, CIFAR_PREPROCESSORS, DEFAULT_MODEL)
    require_size(config, dataset)
    require_one_place(run_options.num_gpu, run_options.logical_cpus)
    shares = {"replicas": run_options.logical_cpus or run_options.num_gpu or 1}
    options.require_division(config, run_options, shares)
    _experiment(config, run_options).make_network(*shares.values())
    return config, run_options


def _experiment(config, run_options):
    """The Experiment of a run, without its folders."""
    return Experiment("", config, run_options, pathlib.Path(), pathlib.Path())
