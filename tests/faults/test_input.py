"""What a person writes in a config, an experiment or a flag: taken, or named. Never a traceback.

The quick form tries QUICK damages of each kind, the full one (-m faults_full) FULL. None may take
longer than LIMIT_SECONDS.
"""

import contextlib
import errno
import json
import os
import re
import signal
import sys
import time

import pytest

import children
from damage import damaged, odd_settings
from processes import REPOSITORY, error_of, run_quickly, write_config
from resnet.commands import cifar_train
from resnet.commands.beginning import new_experiment
from resnet.commands.cli import COMMANDS
from resnet.commands.experiments.plan import SETTINGS, read_plan
from resnet.commands.flags import Flags
from resnet.errors import UserError, exit_with, of_system, shown
from resnet.settings import NetworkSettings, Recipe, RunOptions, fields_of
from resnet.training.experiment import require_plain
from resnet.training.placement import Hosts
from resnet.weights import checkpoint

QUICK, FULL, LIMIT_SECONDS = 12, 150, 20
CONF = {
    "name": "revnet-38",
    "units": [2, 2],
    "filters": [8, 8],
    "stem_filters": 8,
    "strides": [1, 2],
    "recipe": "fast",
    "run": {"backprop": "reversible", "memory_budget": "2MB", "logical_cpus": 2},
}
EXPERIMENT = {
    "name": "one",
    "model": "revnet-38",
    "dataset": "synthetic",
    "units": [1, 1, 1],
    "num_epochs": 2.5,
    "schedule": "cosine",
    "learning_rates": [[0.1]],
    "boundaries": [],
    "seeds": [0, 1],
}
YAML = """\
# two experiments
- &base
  name: one
  model: revnet-38
  dataset: synthetic
  units: [1, 1, 1]
  learning_rates: [[0.1, 1e-2, 0.001]]
  seeds: [0, 1]
- <<: *base
  name: "two"
  batch_size: !!int 0x10
"""


@contextlib.contextmanager
def limited():
    """Within it, what takes too long fails."""

    def too_long(*_):
        pytest.fail(f"takes more than {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_conf(path, *arguments):
    """What --dry_run does with a config file before it asks for devices."""
    flags = Flags("resnet train-cifar", "resnet train-cifar")
    cifar_train.define_flags(flags)
    flags.parse([f"--config={path}", "--dry_run", f"--results={path.parent}", *arguments])
    experiment = new_experiment(cifar_train._task(flags), flags, Hosts())
    experiment.make_network(experiment.options.logical_cpus or 1)


def read_experiments(path):
    _, problems, _ = read_plan(path, str(path.parent), {})
    if problems:
        raise UserError(problems[-1])


def outcome(read, path, content, what, capsys):
    """Taken or named; a config's error is one line, and not endless."""
    path.write_bytes(content)
    try:
        with limited():
            read(path)
    except (UserError, OSError) as error:
        error = of_system(error) if isinstance(error, OSError) else error
        with pytest.raises(SystemExit):
            exit_with(error)
        text = capsys.readouterr().err
        assert text.count("\n") == 1 and len(text) < 2000, what
        return "named"
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {str(error)[:300]}") from error
    return "taken"


def as_json(content):
    return json.dumps(content).encode()


def attacks(count, seed=0):
    """Yields (reader, file's name, what was done, bytes)."""
    recipe, run_options = fields_of(Recipe), fields_of(RunOptions)
    names = [*fields_of(NetworkSettings), *recipe, "latest"]
    for what, content in odd_settings(CONF, names, count, seed):
        yield read_conf, "conf.json", what, as_json(content)
    for what, content in odd_settings(CONF["run"], [*run_options], count, seed):
        yield read_conf, "conf.json", what, as_json(CONF | {"run": content})
    for what, content in damaged(as_json(CONF), count, seed):
        yield read_conf, "conf.json", what, content
    for what, content in odd_settings(EXPERIMENT, [*SETTINGS, "logs", "data_folder"], count, seed):
        yield read_experiments, "one.yaml", what, as_json([content])  # YAML is JSON and more
    for what, content in damaged(YAML.encode(), count, seed):
        yield read_experiments, "one.yaml", what, content


def attack(tmp_path, count, capsys):
    found = {"named": 0, "taken": 0}
    for read, name, what, content in attacks(count):
        found[outcome(read, tmp_path / name, content, what, capsys)] += 1
    return found


def test_what_is_written_is_taken_or_named(tmp_path, capsys):
    assert outcome(read_conf, tmp_path / "c.json", as_json(CONF), "sound", capsys) == "taken"
    for content in (as_json([EXPERIMENT]), YAML.encode()):
        assert outcome(read_experiments, tmp_path / "y.yaml", content, "sound", capsys) == "taken"
    found = attack(tmp_path, QUICK, capsys)
    assert sum(found.values()) == 5 * QUICK and found["named"] > QUICK


@pytest.mark.faults_full
def test_what_is_written_hundreds_of_times(tmp_path, capsys):
    found = attack(tmp_path, FULL, capsys)
    print(found)
    assert sum(found.values()) == 5 * FULL


DIGITS = "9" * 5000
ALIASES = "".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- name: [a]", r"1: key 'name' is \['a'\], but must be a text"),
        ("- name: " + "[" * 3000, "not valid YAML: brackets too deep in each other"),
        (f"- batch_size: {DIGITS}", "1: not valid YAML: '9+...9+' cannot be read as int"),
        ("- batch_size: !!int abc", "1: not valid YAML: 'abc' cannot be read as int"),
        ("- nesterov: !!bool abc", "1: not valid YAML: 'abc' cannot be read as bool"),
        ("- name: a\n  seed: 2026-99-99", "2: not valid YAML: '2026-99-99' .* put it in quotes"),
        ("- name: 2026-11-11", r"1: key 'name' is datetime.date\(2026, 11, 11\), but must be"),
        ("- batch_size: 0x" + "f" * 5000, "batch_size is an integer of 20000 bits, but must be"),
        (f"- memory_budget: {'9' * 400}GB", "memory_budget: '9+...9+GB' is not a size"),
        ("- name: a\n  model: [[x]]", r"model is \['x'\], but must be a text"),
        ("- name: a\n  dataset: [[x]]", r"dataset is \['x'\], but must be one of"),
        ('- name: a\n  logs: "a\\0b"', "logs is 'a.x00b', but must be a text"),
        ("- name: a\n  units: [1000000, 1, 1]", r"must be a list of integers in \[1, 2\^13\)"),
        ("- name: a\n  units: [4000, 4000, 4000]", "but must be fewer than 8,192 in all"),
        ("- name: a\n  batch_size: 1000000000", r"batch_size is 1000000000, .* in \[1, 2\^20\)"),
        ("- name: a\n  seeds: &s [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n  mixup: *s\n  cutmix: *s\n"
         "  cutout: *s", "the lists of 'a' make 10,000 runs: 1,000 at most"),
        (f"- name: {'a' * 200}\n  dataset: synthetic", "must be a plain name .* of at most 160"),
        (f"- a0: &a0 x\n{ALIASES}", "1: its aliases make [0-9]+ values of it, and at most"),
    ],
)  # fmt: skip
def test_experiments_that_are_named(tmp_path, text, message, capsys):
    path = tmp_path / "one.yaml"
    path.write_text(text, encoding="utf-8")
    with limited(), pytest.raises(UserError) as caught:
        _, problems, _ = read_plan(path, str(tmp_path), {})
        raise UserError("\n".join(problems))
    assert f"{path}" in str(caught.value)
    assert re.search(message, str(caught.value)), str(caught.value)[:2000]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ["revnet-38"]}, r"name is \['revnet-38'\], but must be a text"),
        ({"name": None}, "name is None, but must be a text"),
        ({"num_steps": 10**400}, r"num_steps is 9*1?0+\.\.\.0+, but must be an integer in"),
        ({"num_steps": 5.5}, "num_steps is 5.5, but must be an integer"),
        ({"num_epochs": 1e308}, r"num_epochs is 1e\+308, but must be a number in \[0, 2\^31\)"),
        ({"warmup_epochs": 1e308}, r"warmup_epochs is 1e\+308, but must be a number in"),
        ({"batch_size": 10**9}, r"batch_size is 1000000000, but must be an integer in \[1, 2\^20"),
        ({"run": {"dataset": ["x"]}}, r"run option dataset is \['x'\], but must be a text"),
        (
            {"run": {"memory_budget": 10**400}},
            "memory_budget is 10+...0+, but must be a size",
        ),
        ({"run": {"memory_budget": "9" * 400}}, "is not a size: give a number with a unit"),
        ({"run": {"logical_cpus": 10**6}}, r"logical_cpus is 1000000, but must be .* \[1, 2\^8\)"),
        ({"run": {"init_from": "\ud800"}}, "init_from is '.*', but must be a text, or null"),
    ],
)
def test_configs_that_are_named(tmp_path, changes, message):
    path = tmp_path / "conf.json"
    path.write_bytes(as_json(CONF | changes))
    with limited(), pytest.raises(UserError, match=message):
        read_conf(path)


def test_long_flags_and_ids_are_named(tmp_path):
    path = write_config(tmp_path)
    for flag, message in {
        "--" + "x" * 5000: "unknown flag '--xxx",
        f"--id={'x' * 161}": "of at most 160 bytes",
        "--id=../../x": "must be a plain name",
        "--data_folder=\udcff": "data_folder is '.*', but must be a text",
        f"--batch_size={DIGITS}": "but must be an integer in",
    }.items():
        with limited(), pytest.raises(UserError, match=message):
            read_conf(path, "--dataset=synthetic", flag)
    require_plain("x" * 160)
    with pytest.raises(UserError, match="of at most 160 bytes"):
        require_plain("é" * 81)


def test_values_are_shown_short():
    assert shown((32, 64, 112)) == "(32, 64, 112)" and shown("x") == "'x'"
    nested = ["x"] * 9
    for _ in range(30):
        nested = [nested] * 9
    for value in (10**9999, "x" * 10**6, nested, {str(i): i for i in range(10**4)}):
        assert len(shown(value)) < 100_000


def test_long_errors_keep_their_remedy(capsys):
    with pytest.raises(SystemExit):
        exit_with(UserError(f"{'x ' * 5000}: give another"))
    text = capsys.readouterr().err
    assert len(text) < 1600 and text.endswith("give another\n")


def test_names_of_every_command_are_checked(tmp_path):
    """A command with --id is in this list; those that test_owner.py leaves out are tried here."""
    with_id = set()
    for name, command in COMMANDS.items():
        module = __import__(command.module, fromlist=["define_flags"])
        flags = Flags(name, name)
        module.define_flags(flags)
        if "id" in flags:
            with_id.add(name)
    assert with_id == {
        *(
            "train-cifar",
            "train-imagenet",
            "evaluate",
            "experiments",
            "export",
            "publish",
            "import",
        ),
        "predict",
    }
    foreign = ["--source=revnet-public", "--checkpoint=x", "--model=revnet-38"]
    yaml = tmp_path / "one.yaml"
    yaml.write_text("- name: ../x\n  dataset: synthetic\n", encoding="utf-8")
    for line, message in {
        ("import", *foreign, "--dataset=cifar-10", "--id=../x"): "must be a plain name",
        ("train-imagenet", "--id=../x"): "must be a plain name",
        ("predict", "cat.jpg", "--id=../x"): "must be a plain name",
        ("predict", "cat.jpg", "--id="): "must be a plain name",
        ("experiments", str(yaml)): "'../x', but must be a text of letters",
        ("experiments", str(yaml), "--id=../x"): "--id does not go with experiments",
    }.items():
        assert message in error_of(run_quickly(*line, f"--results={tmp_path}/r"))
    assert [path.name for path in tmp_path.iterdir()] == ["one.yaml"]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
ODD_PLACE = "ü b [1]*{x}"


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A trained experiment whose id and folders have spaces, brackets and more."""
    folder = tmp_path_factory.mktemp("odd") / ODD_PLACE
    places = [f"--results={folder}/r", f"--logs={folder}/l"]
    folder.mkdir()
    line = [f"--config={write_config(folder)}", "--dataset=synthetic", "--eval_images=500"]
    done = run_quickly("train-cifar", *line, *places, "--id=a b[é]*", "--max_num_steps=1")
    assert done.returncode == 0, done.stderr
    return folder, places


def test_names_with_spaces_brackets_and_accents(odd):
    folder, places = odd
    assert list(checkpoint.list_checkpoints(folder / "r" / "a b[é]*")) == [1]
    output = folder / "out [1].npz"
    line = ["--id=a b[é]*", "--format=npz", f"--output={output}"]
    assert run_quickly("export", *line, *places).returncode == 0 and output.exists()
    assert not list(folder.rglob("*.part*"))


def test_files_that_stand_where_folders_are_wanted(odd, tmp_path):
    folder, places = odd
    path, one = tmp_path / "file", "--id=a b[é]*"
    path.write_text("mine")
    train = ["train-cifar", f"--config={folder}/tiny.json", "--dataset=synthetic"]
    instead = "a file stands where a folder is wanted; give another path"
    for line, message in {
        (*train, f"--results={path}", f"--logs={tmp_path}/l"): instead,
        (*train, f"--results={tmp_path}/r", f"--logs={path}/l"): instead,
        ("export", one, *places, "--format=npz", f"--output={path}/x.npz"): instead,
        ("export", one, f"--results={path}"): "which is no folder",
        ("evaluate", one, f"--results={tmp_path}/none"): "which is no folder",
        ("results", str(tmp_path)): "give a file, not a folder",
        ("train-cifar", f"--config={tmp_path}", "--dataset=synthetic"): "Is a directory",
    }.items():
        error = error_of(run_quickly(*line))
        assert message in error.lower() or message in error, error
    assert path.read_text() == "mine" and not list(tmp_path.glob("*/*"))


def test_what_the_system_refuses_has_a_remedy():
    for number in (errno.ENOENT, errno.EACCES, errno.EROFS, errno.EMFILE, errno.ENAMETOOLONG):
        message = str(of_system(OSError(number, os.strerror(number), "there")))
        assert message.startswith(f"there: {os.strerror(number)}: ")
    assert str(of_system(OSError("odd"))) == "odd"


def test_ten_thousand_checkpoints(tmp_path):
    for step in range(10_000):
        for suffix in (checkpoint.INDEX, checkpoint.DATA):
            (tmp_path / f"{checkpoint.PREFIX}{step}{suffix}").touch()
    start = time.perf_counter()
    found = checkpoint.list_checkpoints(tmp_path)
    assert time.perf_counter() - start < 5
    assert list(found) == list(range(10_000)) and found[9_999].endswith("model.ckpt-9999")


def test_a_terminal_without_accents(tmp_path):
    """Where a character cannot be printed, its number is."""
    code = (
        "import sys; sys.stdout.reconfigure(encoding='ascii', errors='strict')\n"
        "from resnet.commands.cli import run\n"
        "try: run('configs', [], 'resnet configs')\n"
        "finally: print('\\xe9')"
    )
    done = children.run([sys.executable, "-c", code], 60, cwd=tmp_path, env=ENVIRONMENT)
    assert done.returncode == 0 and done.stdout.endswith("\\xe9\n"), done.stderr
