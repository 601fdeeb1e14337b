"""YAML whose every key and value knows its line."""

import dataclasses
import itertools
import pathlib
import re

from resnet.errors import UsageError, shown
from resnet.extras import load_extra

LARGEST = 100_000  # values of an experiment, those behind aliases counted each time


@dataclasses.dataclass(frozen=True)
class Value:
    """A value and the line, from 1, that its key stands on."""

    content: object
    line: int


def read_mappings(path):
    """The mappings of a YAML file: those of a list, or one a document.

    Args:
      path: of a file that holds a list of mappings, or mappings as documents of their own.

    Returns:
      [(line, {key: Value})]; a value that is a mapping is a {key: Value} too.

    Raises:
      UsageError: PyYAML is missing, or the file cannot be read or is nothing of the kind;
        names the line.
    """
    yaml = load_extra("yaml")
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): give the path of a YAML file of experiments"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None
    try:
        loader = _loader(yaml, text)
        documents = []
        while loader.check_node():
            documents.append(loader.get_node())
        items = [item for document in documents for item in _items(yaml, document)]
        for item in items:
            _require_small(path, yaml, item)
        found = [_mapping(path, yaml, loader, item) for item in items]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        detail = getattr(error, "problem", None) or error
        raise UsageError(f"{path}{where}: not valid YAML: {detail}") from None
    except RecursionError:
        raise UsageError(f"{path}: not valid YAML: brackets too deep in each other") from None
    if not found:
        raise UsageError(f"{path} is empty: give a list of experiments")
    return found


def _loader(yaml, text):
    """A SafeLoader that takes 5e-4 for a number, too, as everyone but YAML 1.1 does."""

    class Loader(yaml.SafeLoader):
        pass

    number = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    return Loader(text)


def _items(yaml, node):
    """The nodes of a document's experiments."""
    return node.value if isinstance(node, yaml.SequenceNode) else [node]


def _require_small(path, yaml, node):
    """Checks that aliases of aliases do not make a short text a value without end.

    Raises:
      UsageError: they do.
    """
    sizes = {}  # id -> how many values; 0 while it is being counted: YAML's own check names it

    def size(node):
        if not isinstance(node.value, list):
            return 1
        if id(node) not in sizes:
            sizes[id(node)] = 0
            is_mapping = isinstance(node, yaml.MappingNode)
            inner = itertools.chain(*node.value) if is_mapping else node.value
            sizes[id(node)] = 1 + sum(map(size, inner))
        return sizes[id(node)]

    if (count := size(node)) > LARGEST:
        raise UsageError(
            f"{path}:{node.start_mark.line + 1}: its aliases make {shown(count)} values of it, and "
            f"at most {LARGEST:,} are taken: write what is meant"
        )


def _constructed(path, yaml, loader, node):
    """The value of a node.

    Raises:
      UsageError: it is none of its kind, such as the date 2026-99-99.
    """
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, RecursionError):
        raise
    except Exception as error:  # PyYAML hands on what int, float, date and others raise
        kind = node.tag.rpartition(":")[2]
        raise UsageError(
            f"{path}:{node.start_mark.line + 1}: not valid YAML: {shown(node.value)} cannot be "
            f"read as {kind} ({error}): mend it, or put it in quotes"
        ) from None


def _mapping(path, yaml, loader, node, is_outer=True):
    """(line, {key: Value}) of a mapping node, and of the mappings right inside it."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"{path}:{line}: an experiment must be a mapping of keys to values")
    loader.flatten_mapping(node)  # <<: *anchor
    found = {}
    for key_node, value_node in node.value:
        key = _constructed(path, yaml, loader, key_node)
        here = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise UsageError(f"{path}:{here}: key {shown(key)} must be a text")
        if key in found and found[key].line >= line:
            raise UsageError(f"{path}:{here}: key {key!r} stands twice, in line {found[key].line}")
        if isinstance(value_node, yaml.MappingNode) and is_outer:
            content = _mapping(path, yaml, loader, value_node, is_outer=False)[1]
        else:
            content = _constructed(path, yaml, loader, value_node)
        found[key] = Value(content, here)
    return line, found
