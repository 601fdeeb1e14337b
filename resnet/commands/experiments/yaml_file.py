"""YAML whose every key and value knows its line."""

import dataclasses
import pathlib
import re

from resnet.errors import UsageError
from resnet.extras import load_extra


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
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None
    try:
        loader = _loader(yaml, text)
        documents = []
        while loader.check_node():
            documents.append(loader.get_node())
        found = [_mapping(path, yaml, loader, item) for d in documents for item in _items(yaml, d)]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        detail = getattr(error, "problem", None) or error
        raise UsageError(f"{path}{where}: not valid YAML: {detail}") from None
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


def _mapping(path, yaml, loader, node, is_outer=True):
    """(line, {key: Value}) of a mapping node, and of the mappings right inside it."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"{path}:{line}: an experiment must be a mapping of keys to values")
    loader.flatten_mapping(node)  # <<: *anchor
    found = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        here = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise UsageError(f"{path}:{here}: key {key!r} must be a text")
        if key in found and found[key].line >= line:
            raise UsageError(f"{path}:{here}: key {key!r} stands twice, in line {found[key].line}")
        if isinstance(value_node, yaml.MappingNode) and is_outer:
            content = _mapping(path, yaml, loader, value_node, is_outer=False)[1]
        else:
            content = loader.construct_object(value_node, deep=True)
        found[key] = Value(content, here)
    return line, found
