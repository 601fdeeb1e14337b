"""Lists all named configs: family, parameters, multiply-adds and source.

    resnet configs
    resnet configs --fields
    resnet configs --fields --markdown > docs/settings.md

Parameters are the trainable ones, with the config's own number of classes; multiply-adds
are those of one image's forward pass. With --fields, lists every setting instead: fields of a
config (--config, YAML files), and options of a run ("run" in conf.json).
"""

import dataclasses
import json

from resnet.configs import entry_of, list_configs
from resnet.settings import Computation, NetworkSettings, Recipe, RunOptions, fields_of
from resnet.table import aligned, markdown

HEADER = ("config", "family", "image", "parameters", "multiply-adds", "source")
FIELDS_HEADER = ("field", "default", "must be", "may change", "meaning")
PAGE = """\
# Settings

Written by `resnet configs --fields --markdown`; a test fails where it is not current.

Fields of the network and the recipe make a config: a JSON file (`--config`) or an experiment's
keys in a YAML file change them, and every field of the recipe is a flag too. The others are
options of a run: flags, keys of YAML files, and `"run"` in `conf.json`. *May change* says whether
a run that is continued with `--restore` may be given another value.
"""


def define_flags(flags):
    """Defines the command's flags."""
    flags.switch("Listing", "fields", "List every setting instead of the configs.")
    flags.switch("Listing", "markdown", "As a page of documentation.")


def rows():
    """A row of texts for each config."""
    for name in list_configs():
        entry = entry_of(name)
        size = entry.config.image_size
        yield (
            name,
            entry.config.family,
            f"{size}x{size}",
            f"{entry.parameters:,}",
            f"{entry.multiply_adds / 1e6:,.1f} M",
            entry.source,
        )


def fields_rows():
    """(heading, rows of texts) of each group of settings."""
    known = set()
    for settings_class in (NetworkSettings, Recipe, Computation, RunOptions):
        fields = {n: f for n, f in fields_of(settings_class).items() if n not in known}
        known |= fields.keys()
        yield settings_class.HEADING, [_row(field) for field in fields.values()]


def _row(field):
    default = field.default
    if default is dataclasses.MISSING:
        default = ""
    text = default if isinstance(default, str) else json.dumps(default)
    return field.name, text, field.wanted, "yes" if field.facts.is_free else "", field.facts.help


def fields_page():
    """docs/settings.md."""
    parts = [PAGE]
    for heading, group in fields_rows():
        rows = [(f"`{name}`", *others) for name, *others in group]
        parts.append(f"## {heading}\n\n{markdown([FIELDS_HEADER, *rows])}\n")
    return "\n".join(parts)


def main(flags):
    """Prints the table, or the tables of settings."""
    if flags.fields and flags.markdown:
        print(fields_page(), end="")
    elif flags.fields:
        groups = [f"{title}\n{aligned([FIELDS_HEADER, *group])}" for title, group in fields_rows()]
        print("\n\n".join(groups))
    else:
        table = [HEADER, *rows()]
        print(markdown(table) if flags.markdown else aligned(table, right=(3, 4)))
