"""Runs the code blocks of a page of the documents, in their order, in a folder made for them.

A comment above a block says what else to do with it:

    <!-- not run: REASON -->
    <!-- needs: PACKAGE, ... -->        it is run where these are installed
    <!-- file: PATH -->                 the block is this file of the repository
    <!-- append: PATH -->               it stands at the file's end
    <!-- behind: PATH: LINE -->         it stands behind the line, or the call that begins there
    <!-- before: PATH: LINE -->         it stands before it

What a command is shown with is what it is run with; flags of SMALL come behind, so that it ends
soon. Python blocks of a page share their names, and those of PRELUDE.
"""

import dataclasses
import json
import pathlib
import re
import shlex
import shutil
import sys
from importlib.util import find_spec

import children
from images import make_tree as make_synsets
from images import picture
from miniature import contents, pack
from processes import REPOSITORY, run_quickly

BLOCK = re.compile(
    r"(?:^<!-- (?P<key>[a-z ]+): (?P<value>.*?) -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
SCRIPTS = {
    "run_cifar_train.py": "train-cifar",
    "run_imagenet_train.py": "train-imagenet",
    "run_imagenet_eval.py": "evaluate",
}
LANGUAGES = ("bash", "python", "json", "yaml", "text")
LIMITS = ["--max_num_steps", "2", "--batch_size", "2", "--log_every", "1"]
SMALL = {
    "train-cifar": [*LIMITS, "--evaluation_batch_size", "20"],
    "train-imagenet": [*LIMITS, "--evaluation_batch_size", "4"],
    "experiments": ["--dry_run", "--results", "none", "--logs", "none"],
    "benchmark": ["--batch_size", "2", "--steps", "1"],
}
ELSEWHERE = {
    "./setup.sh": "tests/test_setup.py and .ci/run",
    ".venv/bin/python -m pytest": "what runs now",
    ".venv/bin/mypy": ".ci/run",
    ".venv/bin/ruff": ".ci/run",
}
PRELUDE = """\
import numpy as np
images = np.random.default_rng(0).integers(0, 256, [4, 32, 32, 3], np.uint8)
labels = np.arange(4)
"""


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the comment above it (key and value)."""

    language: str
    text: str
    key: str | None
    value: str | None


def blocks_of(page):
    """[Block] of a Markdown file."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(m["language"], m["text"], (m["key"] or "").strip() or None, m["value"])
        for m in BLOCK.finditer(text)
    ]


def command_lines(text):
    """[words] of the commands of a bash block, without variables of the environment."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                found.append(words)
    return found


def command_of(words):
    """(command of `resnet`, its arguments) of a command line; None if it is another's."""
    script = words[0].removeprefix("./")
    if script in SCRIPTS:
        return SCRIPTS[script], words[1:]
    return (words[1], words[2:]) if script.rpartition("/")[2] == "resnet" else None


def make_place(folder):
    """What the documents' names stand for: data sets in miniature, images, an experiment EXP."""
    for dataset in ("cifar-10", "cifar-100"):
        archive, members, *_ = contents(dataset, "python")
        (folder / "data").mkdir(exist_ok=True)
        pack(archive, members, folder / "data")
    make_synsets(folder / "RAW_DIR" / "train")
    make_synsets(folder / "RAW_DIR" / "val", 2, seed=1)
    for name in ("cats", "dogs"):
        (folder / "DIR" / name).mkdir(parents=True)
        for i in range(10):
            picture(i).save(folder / "DIR" / name / f"{i}.jpg")
    for name in ("cat.jpg", "dog.png"):
        picture(len(name)).save(folder / name)
    shutil.copytree(REPOSITORY / "examples", folder / "examples")
    return folder


def train_stand_ins(folder):
    """EXP and ID are experiments, as are those that docs/experiments.md plots."""
    shards = ["--raw_dir", "RAW_DIR", "--output_dir", "data/imagenet"]
    run_command(["resnet", "build-imagenet", *shards], folder)
    run_command(
        ["resnet", "train-cifar", "--dataset", "synthetic", "--model", "revnet-38", "--id", "EXP"],
        folder,
    )
    for other in ("ID", "resnet20.seed-0", "resnet20.seed-1", "wrn-16-4"):
        for place in ("results/cifar", "logs/public"):
            shutil.copytree(folder / place / "EXP", folder / place / other)


def run_command(words, folder, repository=REPOSITORY):
    """Runs a command line of the documents in a folder; it must end well."""
    for prefix, where in ELSEWHERE.items():
        if " ".join(words).startswith(prefix):
            return f"run by {where}"
    name, arguments = command_of(words)
    small = SMALL.get(name, [])
    if "--help" in arguments or "--eval_only" in arguments:
        small = []
    elif "--follow" in arguments:  # of a training that has ended before its last step
        small = ["--nofollow"]
    elif "--restore" in arguments:  # which keeps its recipe
        small = ["--max_num_steps", "3"]
    line = [name, *arguments, *small]
    if name.startswith("train-") and "--id" in arguments and "--restore" not in arguments:
        _remove_experiment(folder, arguments[arguments.index("--id") + 1])
    if repository == REPOSITORY:
        done = run_quickly(*line, folder=folder)
    else:
        done = children.run(
            [sys.executable, "-m", "resnet", *line],
            cwd=folder,
            env={"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"},
        )
    assert done.returncode == 0, f"{shlex.join(line)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _remove_experiment(folder, name):
    """A page starts experiments of one name on several data sets; its readers on one."""
    for path in (*folder.glob(f"results/*/{name}"), *folder.glob(f"logs/public/{name}")):
        shutil.rmtree(path)


def change_file(block, repository):
    """Does with a block of extending.md what the comment above it says."""
    path, _, line = block.value.partition(": ")
    path = repository / path
    if block.key == "file":
        assert not path.exists(), path
        path.write_text(block.text, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    if block.key == "append":
        path.write_text(f"{text}\n{block.text}", encoding="utf-8")
        return
    lines = text.splitlines(keepends=True)
    place = next(i for i, one in enumerate(lines) if one.strip().startswith(line))
    if block.key == "behind":
        indent = re.match(" *", lines[place])[0]
        place += 1
        while lines[place].startswith(indent + " ") or lines[place].strip() in (")", "),"):
            place += 1
    path.write_text("".join([*lines[:place], block.text, *lines[place:]]), encoding="utf-8")


def run_page(page, folder, repository=REPOSITORY, languages=LANGUAGES):
    """Runs what stands on a page in some languages; the number of blocks that ran."""
    python, num_run = PRELUDE, 0
    for block in blocks_of(page):
        if block.key == "not run" or block.language not in languages:
            continue
        if block.key == "needs" and not all(map(find_spec, block.value.split(", "))):
            continue
        num_run += 1
        if block.key in ("file", "append", "behind", "before"):
            change_file(block, repository)
        elif block.language == "bash":
            for words in command_lines(block.text):
                run_command(words, folder, repository)
        elif block.language == "python":
            python += block.text  # each time from the start: the page's names are shared
            path = pathlib.Path(folder / "block.py")
            path.write_text(python, encoding="utf-8")
            done = run_quickly(str(path), folder=folder)
            assert done.returncode == 0, f"{block.text}\n{done.stderr}"
        elif block.language == "json":
            (folder / "block.json").write_text(block.text)
            name = json.loads(block.text)["name"]
            flags = ["--config", "block.json", "--dataset", "synthetic", "--dry_run"]
            assert name in run_command(["resnet", "train-cifar", *flags], folder, repository)
        elif block.language == "yaml":
            shown = (REPOSITORY / "examples" / "experiments.yaml").read_text(encoding="utf-8")
            assert block.text in shown, (
                "docs/experiments.md shows another examples/experiments.yaml"
            )
    return num_run
