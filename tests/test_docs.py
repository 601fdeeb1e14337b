"""README and docs: their links resolve, and the front page is one that is read."""

import importlib
import re
import shutil

import pytest
from test_mutations import copy_repository

from doc_blocks import (
    LANGUAGES,
    SCRIPTS,
    blocks_of,
    command_lines,
    command_of,
    make_place,
    run_page,
    train_stand_ins,
)
from processes import REPOSITORY
from resnet.commands.cli import COMMANDS
from resnet.commands.flags import Flags

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
PAGES += sorted((REPOSITORY / "docs").rglob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
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


def commands(page):
    """[(command of `resnet`, arguments)] of the bash blocks of a page."""
    blocks = [block for block in blocks_of(page) if block.language == "bash"]
    found = [command_of(words) for block in blocks for words in command_lines(block.text)]
    return [one for one in found if one]


# extending.md's commands are of configs and data sets that it adds.
PLAIN = [page for page in PAGES if page.name != "extending.md"]


@pytest.mark.parametrize("page", PLAIN, ids=lambda path: path.name)
def test_commands_take_the_flags_that_they_are_shown_with(page):
    for name, arguments in commands(page):
        module = importlib.import_module(COMMANDS[name].module)
        flags = Flags(name, name, getattr(module, "ESSENTIAL", ()))
        module.define_flags(flags)
        positional = flags.parse([a for a in arguments if a != "--help"])
        assert len(positional) == 0 or getattr(module, "POSITIONAL", ()), (name, positional)


def test_command_lines_are_found():
    names = [name for page in PAGES for name, _ in commands(page)]
    assert len(names) > 30 and {*SCRIPTS.values(), "predict", "publish", "benchmark"} <= {*names}


def test_every_promise_names_a_test_that_is_there():
    rows = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines()
    promises = [row.split("|")[1:3] for row in rows if row.startswith("| ")][2:]
    assert len(promises) > 10
    for promise, test in promises:
        if "**" not in promise:
            path, _, name = test.strip().strip("`").partition("::")
            text = (REPOSITORY / path).read_text(encoding="utf-8")
            assert not name or f"def {name}(" in text, test


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("docs"))


@pytest.mark.parametrize("page", [p for p in PAGES if blocks_of(p)], ids=lambda path: path.name)
def test_blocks_say_why_they_are_not_run(page):
    for block in blocks_of(page):
        assert block.key in (None, "not run", "needs", "file", "append", "behind", "before"), block
        assert block.key != "not run" or len(block.value) > 10, block
        assert block.language in LANGUAGES and (block.language != "text" or block.key), block


@pytest.mark.slow
@pytest.mark.parametrize("page", PLAIN, ids=lambda path: path.name)
def test_blocks_run(page, place, tmp_path):
    if not (place / "results").exists():
        train_stand_ins(place)
    run_page(page, shutil.copytree(place, tmp_path / "place"))


@pytest.mark.parametrize("name", ["README.md", "docs/python.md", "docs/reversible.md"])
def test_python_blocks_run(name, place):
    assert run_page(REPOSITORY / name, place, languages=("python",))


@pytest.mark.slow
def test_extending_does_what_it_says(tmp_path, place):
    """In a copy of the repository: each of the changes, and the commands behind it."""
    copy = copy_repository(tmp_path)
    run_page(REPOSITORY / "docs" / "extending.md", place, copy)
