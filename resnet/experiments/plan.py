"""From a YAML file to the runs that it asks for, validated whole."""

import dataclasses
import difflib
import itertools
import re

from absl import flags

from resnet.configs import Config, config_from_json, get_config
from resnet.data.cifar import NUM_CLASSES
from resnet.errors import UsageError
from resnet.experiments.cifar_vs_tensorflow2 import is_foreign, translate
from resnet.experiments.yaml_file import Value, read_mappings
from resnet.models import Network
from resnet.training.cifar import DEFAULT_MODEL
from resnet.training.experiment import RunOptions
from resnet.training.flags import OPTIONS, OVERRIDES, default_options

FLAGS = flags.FLAGS

OWN_KEYS = ("name", "seeds", "smoke_test")
# Flags of the training script that the runner gives itself.
NOT_FOR_FILES = {"id", "restore", "results", "dry_run", "smoke_test", "eval_only", "config"}
CONFIG_FIELDS = {field.name: field for field in dataclasses.fields(Config)}
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
    """

    id: str
    group: str
    flags: dict
    changes: dict
    config: Config
    options: RunOptions
    smoke_test: bool


def read_plan(path):
    """The runs of a YAML file.

    Returns:
      (runs, notices): [Run] in order; [str] to print.

    Raises:
      UsageError: something is wrong, all of which is named by file, line and key.
    """
    plan = _Plan(path)
    for line, keys in read_mappings(path):
        plan.add(line, keys)
    plan.require_distinct_ids()
    if plan.problems:
        raise UsageError("\n".join(plan.problems))
    return plan.runs, plan.notices


class _Plan:
    """Runs and what is wrong with their descriptions."""

    def __init__(self, path):
        self.path, self.runs, self.problems, self.notices = path, [], [], []
        self._lines = {}  # id -> line

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
        if not isinstance(name.content, str) or not re.fullmatch(r"[\w.+-]+", name.content):
            self._problem(
                name.line,
                f"key 'name' is {name.content!r}, but must be a text of letters, digits and .+-_",
            )
            return
        smoke_test = keys.get("smoke_test", Value(True, line))
        if not isinstance(smoke_test.content, bool):
            self._problem(smoke_test.line, "key 'smoke_test' must be true or false")
            return
        settings = {k: value for k, value in keys.items() if k in known and k not in OWN_KEYS}
        if "seeds" in keys:
            settings["seed"] = _as_list(keys["seeds"])
        for chosen, suffixes in _sweep(settings):
            group = ".".join([name.content, *(s for k, s in suffixes.items() if k != "seed")])
            run_id = ".".join([name.content, *suffixes.values()])
            self._add_run(line, run_id, group, chosen, smoke_test.content)

    def _add_run(self, line, run_id, group, settings, smoke_test):
        self._lines.setdefault(run_id, []).append(line)
        given, changes, failed = _command_line_defaults(), {}, False
        for key, value in settings.items():
            if key not in _flag_names():
                changes[key] = value.content
                continue
            try:
                given[key] = FLAGS[key].parser.parse(_text(value.content))
            except (ValueError, TypeError) as error:
                wanted = FLAGS[key].parser.syntactic_help
                text = f"but must be {wanted}" if wanted else error
                self._problem(value.line, f"key {key!r} is {value.content!r}, {text}")
                failed = True
        if failed:
            return
        try:
            config, options = _resolve(given, changes)
        except UsageError as error:
            named = [key for key in settings if re.search(rf"\b{key}\b", str(error))]
            where = settings[named[0]].line if named else line
            if (key := named[0] if named else None) and f"{key} is" not in str(error):
                error = f"key {key!r}: {error}"
            self._problem(where, f"{run_id}: {error}")
            return
        self.runs.append(Run(run_id, group, given, changes, config, options, smoke_test))

    def require_distinct_ids(self):
        """Notes ids that stand twice."""
        for run_id, lines in self._lines.items():
            if len(lines) > 1:
                self._problem(
                    lines[1], f"key 'name': {run_id!r} stands in line {lines[0]} too: rename one"
                )


def _flag_names():
    """Flags of the training script that files may set."""
    by_module = FLAGS.flags_by_module_dict()
    found = [f.name for m, fs in by_module.items() if m.startswith("resnet.training") for f in fs]
    return set(found) - NOT_FOR_FILES


def _known_keys():
    return {*OWN_KEYS, *_flag_names(), *(CONFIG_FIELDS.keys() - NOT_CHANGED)}


def _command_line_defaults():
    """{flag: value} that the runner's own command line gives to every experiment."""
    return {name: FLAGS[name].value for name in _flag_names() if FLAGS[name].present}


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_list(value):
    content = value.content if isinstance(value.content, list) else [value.content]
    return Value(content, value.line)


def _sweep(settings):
    """({key: Value}, {swept key: text for the id}) of every combination of listed values."""
    swept = {}
    for key, value in settings.items():
        field = CONFIG_FIELDS.get(key)
        takes_list = key not in _flag_names() and field is not None and field.type is tuple
        content = value.content
        if isinstance(content, list) and (not takes_list or any(map(_is_list, content))):
            swept[key] = [Value(one, value.line) for one in content]
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
    dataset = given.get("dataset") or next(iter(NUM_CLASSES))
    fields = changes | {key: given[key] for key in OVERRIDES if key in given}
    base = get_config(given.get("model") or DEFAULT_MODEL)
    config = config_from_json(fields | {NUM_CLASSES_FIELD: NUM_CLASSES[dataset]}, base)
    run = {key: given[key] for key in OPTIONS if key in given} | {"dataset": dataset}
    options = RunOptions(**default_options(config) | run)
    Network(config, options.backprop, options.dtype, options.exact, options.loop)
    return config, options
