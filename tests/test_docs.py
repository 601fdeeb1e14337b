"""README and docs: their links resolve, and the front page is one that is read."""

import importlib
import re
import shlex

import pytest

from processes import REPOSITORY
from resnet.commands.cli import COMMANDS
from resnet.commands.flags import Flags

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
PAGES += sorted((REPOSITORY / "docs").rglob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
BASH = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SCRIPTS = {
    "run_cifar_train.py": "train-cifar",
    "run_imagenet_train.py": "train-imagenet",
    "run_imagenet_eval.py": "evaluate",
}
LONGEST_FRONT = 150  # lines


def anchors(path):
    """Anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_resolve(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def test_the_front_page_is_short():
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= LONGEST_FRONT


def test_every_page_is_linked_from_another():
    linked = set()
    for page in PAGES:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            linked.add((page.parent / link.partition("#")[0]).resolve())
    for page in PAGES[1:]:
        assert page in linked, page.name


def command_lines(page):
    """[(command of `resnet`, arguments)] of the bash blocks of a page."""
    found = []
    for block in BASH.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split(" && "):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # of the environment
                    words.pop(0)
                if not words:
                    continue
                script = words[0].removeprefix("./")
                if script in SCRIPTS:
                    found.append((SCRIPTS[script], words[1:]))
                elif script.rpartition("/")[2] == "resnet":
                    found.append((words[1], words[2:]))
    return found


# extending.md's commands are of configs and data sets that it adds.
PLAIN = [page for page in PAGES if page.name != "extending.md"]


@pytest.mark.parametrize("page", PLAIN, ids=lambda path: path.name)
def test_commands_take_the_flags_that_they_are_shown_with(page):
    for name, arguments in command_lines(page):
        module = importlib.import_module(COMMANDS[name].module)
        flags = Flags(name, name, getattr(module, "ESSENTIAL", ()))
        module.define_flags(flags)
        positional = flags.parse([a for a in arguments if a != "--help"])
        assert len(positional) == 0 or getattr(module, "POSITIONAL", ()), (name, positional)


def test_command_lines_are_found():
    names = [name for page in PAGES for name, _ in command_lines(page)]
    assert len(names) > 30 and {*SCRIPTS.values(), "predict", "publish", "benchmark"} <= {*names}
