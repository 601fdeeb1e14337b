"""The floors of the house: a module imports from its own floor and those below."""

import ast
import graphlib

import pytest

from processes import REPOSITORY

PACKAGE = REPOSITORY / "resnet"
# From the ground up; what stands on one floor together is a row.
FLOORS = (
    (
        "errors",
        "hints",
        "keras_import",
        "plurals",
        "schedules",
        "sizes",
        "table",
        "process_memory",
        "venv",
    ),
    (
        "arrays",
        "files",
        "ownership",
        "quiet",
        "extras",
        "labels",
        "pixels",
        "processor",
        "provenance",
        "settings",
    ),
    ("reversible",),
    ("configs",),
    ("pretrained",),
    ("models", "data"),
    ("weights",),
    ("training",),
    ("commands",),
    ("__init__", "__main__"),
)
# Rooms of one floor that do not know each other.
APART = [("models", "data")]
GROUND = ("errors", "hints", "sizes", "table", "process_memory", "venv", "files", "quiet", "extras")
# Of the library: what knows a Keras layer, or absl's flags, and where.
ONLY_IN = {
    "absl": ("commands/flags.py",),
    "matplotlib": ("commands/plot/",),
    "PIL": ("data/photos.py",),
    "yaml": ("commands/experiments/",),
}


def imports_of(path):
    """Dotted names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms():
    """(room, path) of every file of the package; a room is a folder or module at its top."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path


def floor_of(room):
    (number,) = [i for i, floor in enumerate(FLOORS) if room in floor]
    return number


@pytest.mark.parametrize("room", sorted({room for room, _ in rooms()}))
def test_rooms_know_only_what_is_below(room):
    for path in (path for one, path in rooms() if one == room):
        for name in imports_of(path):
            package, _, rest = name.partition(".")
            if package != "resnet" or not rest:
                continue
            other = rest.partition(".")[0]
            if other == "__version__":
                continue
            where = f"{path.relative_to(REPOSITORY)} imports {name}"
            assert floor_of(other) <= floor_of(room), where
            assert other == room or (room, other) not in APART + [p[::-1] for p in APART], where


def test_the_core_stands_alone():
    for path in (PACKAGE / "reversible").rglob("*.py"):
        for name in imports_of(path):
            if name.startswith("resnet."):
                assert name.split(".")[1] in ("reversible", *GROUND, "settings"), (path, name)


@pytest.mark.parametrize("module", ONLY_IN)
def test_libraries_are_known_in_one_place(module):
    for _, path in rooms():
        if any(name.partition(".")[0] == module for name in imports_of(path)):
            place = path.relative_to(PACKAGE).as_posix()
            assert place.startswith(ONLY_IN[module]), f"{place} imports {module}"


def test_private_interfaces_of_tensorflow_stand_in_one_place_each():
    found = {}
    for _, path in rooms():
        for name in imports_of(path):
            if name.startswith(("tensorflow.python", "tensorflow.compiler", "keras.src")):
                found.setdefault(name, []).append(path.relative_to(PACKAGE).as_posix())
    assert all(len(places) == 1 for places in found.values()), found
    assert {place for places in found.values() for place in places} <= {"reversible/ordering.py"}


def test_no_modules_import_each_other_in_a_circle():
    """Whichever comes first, as each does in some process, finds the others whole."""
    paths = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        paths[".".join(parts).removesuffix(".__init__")] = path
    imported = {}
    for name, path in paths.items():
        found = imported.setdefault(name, set())
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                wholes = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {one if one in paths else node.module for one in wholes}
        found &= paths.keys()
    graphlib.TopologicalSorter(imported).prepare()  # raises
