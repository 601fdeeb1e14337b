"""Lists all named configs: family, parameters, multiply-adds and source.

    resnet configs
    resnet configs --fields

Parameters are the trainable ones, with the config's own number of classes; multiply-adds
are those of one image's forward pass. With --fields, lists every setting instead: fields of a
config (--config, YAML files), and options of a run ("run" in conf.json).
"""

import dataclasses
import json

from resnet.configs import entry_of, list_configs
from resnet.settings import Computation, NetworkSettings, Recipe, RunOptions, fields_of
from resnet.table import aligned

HEADER = ("config", "family", "image", "parameters", "multiply-adds", "source")
FIELDS_HEADER = ("field", "default", "must be", "meaning")


def define_flags(flags):
    """Defines the command's flags."""
    flags.switch("Listing", "fields", "List every setting instead of the configs.")


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
    return field.name, text, field.wanted, field.facts.help


def main(flags):
    """Prints the table, or the tables of settings."""
    if not flags.fields:
        print(aligned([HEADER, *rows()], right=(3, 4)))
        return
    groups = [f"{heading}\n{aligned([FIELDS_HEADER, *group])}" for heading, group in fields_rows()]
    print("\n\n".join(groups))
