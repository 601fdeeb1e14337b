"""From a YAML file to the runs that it asks for, validated whole."""

import dataclasses
import difflib
import itertools
import pathlib
import re

from absl import flags

from resnet.commands.cifar_train import DEFAULT_MODEL, require_size
from resnet.commands.experiments.cifar_vs_tensorflow2 import is_foreign, translate
from resnet.commands.experiments.yaml_file import Value, read_mappings
from resnet.commands.flags import (
    OPTIONS,
    OVERRIDES,
    default_options,
    require_division,
    require_preprocessor,
)
from resnet.configs import Config, config_from_json, get_config
from resnet.data.cifar.input import NUM_CLASSES
from resnet.data.cifar.preparation import PREPROCESSORS
from resnet.errors import UsageError
from resnet.settings import RunOptions, fields_of
from resnet.training.experiment import BEST, Experiment
from resnet.training.placement import require_one_place
from resnet.weights.checkpoint import list_checkpoints

FLAGS = flags.FLAGS

OWN_KEYS = ("name", "seeds", "smoke_test")
# Flags of the training script that the runner gives itself.
NOT_FOR_FILES = {"id", "restore", "results", "dry_run", "smoke_test", "eval_only", "best", "config"}
# What the training script takes if nothing is said.
DEFAULTS = {"model": DEFAULT_MODEL, "dataset": next(iter(NUM_CLASSES))}
CONFIG_FIELDS = fields_of(Config)
# Fields that follow from the model and the data set.
NUM_CLASSES_FIELD = "num_classes"
NOT_CHANGED = {"name", "family", NUM_CLASSES_FIELD}


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    id: the experiment's id.
    group: what its seeds share, a name for tables.
    flags: {flag of run_cifar_train.py: value}.
    changes: {field of the config: value}.
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
        return init_from and init_from.removesuffix(f"/{BEST}")

    @property
    def num_steps(self):
        """The step at which it ends."""
        return _experiment(self.config, self.options).num_steps


def read_plan(path):
    """The runs of a YAML file.

    Returns:
      (runs, problems, notices): [Run] in order; [str], everything that is wrong, by file,
      line and key; [str] to print.

    Raises:
      UsageError: it is no YAML file of mappings.
    """
    plan = _Plan(path)
    for line, keys in read_mappings(path):
        plan.add(line, keys)
    return plan.runs, plan.problems, plan.notices


class _Plan:
    """Runs and what is wrong with their descriptions."""

    def __init__(self, path):
        self.path, self.runs, self.problems, self.notices = path, [], [], []
        self._lines = {}  # name -> line

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
        known = _known_keys()
        for key, value in keys.items():
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"choose from {sorted(known)}"
                self._problem(value.line, f"unknown key {key!r}: {hint}")
        name = keys.get("name", Value(None, line))
        if not isinstance(name.content, str) or not re.fullmatch(r"\w[\w.+-]*", name.content):
            missing = "missing" if name.content is None else repr(name.content)
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
                    f"key 'seeds' is {content!r}, but must be a list, such as [0, 1, 2]",
                )
                return
            if "seed" in keys:
                self._problem(keys["seed"].line, "keys 'seed' and 'seeds' exclude each other")
            settings["seed"] = keys["seeds"]
        if "model" not in settings and not keys.keys() <= known:
            return  # perhaps it is the key that is misspelt
        ids = set()
        for chosen, suffixes in _sweep(settings):
            group = ".".join([name.content, *(s for k, s in suffixes.items() if k != "seed")])
            run_id = ".".join([name.content, *suffixes.values()])
            if run_id in ids:
                self._problem(line, f"a sweep of {name.content!r} lists a value twice: {run_id}")
                continue
            ids.add(run_id)
            self._add_run(line, run_id, group, chosen, smoke_test.content)
        for key, value in settings.items():
            if _is_sweep(key, value) and not value.content:
                named = "seeds" if key == "seed" else key
                self._problem(value.line, f"key {named!r} lists no value: give one or more")

    def _add_run(self, line, run_id, group, settings, smoke_test):
        given, changes, failed = DEFAULTS | _command_line_defaults(), {}, False
        for key, value in settings.items():
            if key not in _flag_names():
                changes[key] = value.content
                continue
            try:
                given[key] = _parsed(FLAGS[key].parser, value.content)
            except (ValueError, TypeError) as error:
                wanted = FLAGS[key].parser.syntactic_help
                text = f"but must be {wanted}" if wanted else error
                self._problem(value.line, f"key {key!r} is {value.content!r}, {text}")
                failed = True
        if failed:
            return
        try:
            config, options = _resolve(given, changes)
            run = Run(run_id, group, given, changes, config, options, smoke_test, line)
            self._require_source(run)
        except UsageError as error:
            key = _culprit(error, given, changes, settings)
            where = settings[key].line if key else line
            text = f"key {key!r}: {error}" if key and f"{key} is" not in str(error) else error
            self._problem(where, f"{run_id}: {text}")
            if key and key not in DEFAULTS:  # is anything else wrong?
                others = {name: value for name, value in settings.items() if name != key}
                self._add_run(line, run_id, group, others, smoke_test)
            return
        self.runs.append(run)

    def _require_source(self, run):
        """Checks that what a run starts from is there, or made by a run before it."""
        source = run.options.init_from
        if source is None or run.source in {before.id for before in self.runs}:
            return
        if not list_checkpoints(pathlib.Path(FLAGS.results, source)):
            raise UsageError(
                f"init_from is {source!r}, which is no run above and has no checkpoint in "
                f"{FLAGS.results!r}: give an id"
            )


def _culprit(error, given, changes, settings):
    """The key of `settings` that an error is about: that names it, or that it goes with."""
    for key in settings:
        if re.search(rf"\b{key} is\b", str(error)):
            return key
    # What goes wrong without a key is not its fault; model and data set are the last to blame.
    last_first = list(reversed(settings))
    last_first.sort(key=lambda key: key in DEFAULTS)
    for key in last_first:
        less = [{k: v for k, v in group.items() if k != key} for group in (given, changes)]
        try:
            _resolve(DEFAULTS | less[0], less[1])
        except UsageError:
            continue
        return key
    return None


def _parsed(parser, content):
    """A flag's value; YAML reads on and off as true and false.

    Raises:
      ValueError or TypeError: it is none.
    """
    if isinstance(content, bool) and "on" in getattr(parser, "enum_values", ()):
        content = "on" if content else "off"
    return parser.parse(_text(content))


def _flag_names():
    """Flags of the training script that files may set."""
    by_module = FLAGS.flags_by_module_dict()
    found = [f.name for m, fs in by_module.items() if m.startswith("resnet.commands") for f in fs]
    return set(found) - NOT_FOR_FILES


def _known_keys():
    return {*OWN_KEYS, *_flag_names(), *(CONFIG_FIELDS.keys() - NOT_CHANGED)}


def _command_line_defaults():
    """{flag: value} that the runner's own command line gives to every experiment."""
    return {name: FLAGS[name].value for name in _flag_names() if FLAGS[name].present}


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_sweep(key, value):
    """Whether a value lists values; of fields that are lists themselves, lists of lists do."""
    takes_list = key not in _flag_names() and CONFIG_FIELDS[key].item
    content = value.content
    return isinstance(content, list) and (not takes_list or any(map(_is_list, content)))


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


def _resolve(given, changes):
    """(Config, RunOptions) of flags and config fields.

    Raises:
      UsageError: they make no sense.
    """
    dataset = given["dataset"]
    fields = changes | {key: given[key] for key in OVERRIDES if key in given}
    base = get_config(given["model"])
    config = config_from_json(fields | {NUM_CLASSES_FIELD: NUM_CLASSES[dataset]}, base)
    run = {key: given[key] for key in OPTIONS if key in given}
    options = RunOptions(**default_options(config) | run)
    require_preprocessor(config, PREPROCESSORS, DEFAULT_MODEL)
    require_size(config, dataset)
    require_one_place(options.num_gpu, options.logical_cpus)
    shares = {"replicas": options.logical_cpus or options.num_gpu or 1}
    require_division(config, options, shares)
    _experiment(config, options).make_network(*shares.values())
    return config, options


def _experiment(config, options):
    """The Experiment of a run, without its folders."""
    return Experiment("", config, options, pathlib.Path(), pathlib.Path())
