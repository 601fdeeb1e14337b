"""A command's flags: in groups for its help, checked as settings are."""

import dataclasses
import re
import shutil
import textwrap

from absl import flags as absl_flags

from resnet.errors import UsageError, near, shown
from resnet.settings import Field, Setting, SettingError

ESSENTIALS = "Essentials"
HELP_FLAGS = ("-h", "-?", "--help", "-help", "--helpshort", "--helpfull")
LONGEST_NAME = 100  # characters of a flag's, and more
INDENT = 34  # columns before a flag's help
MIN_WIDTH, MAX_WIDTH = 72, 100


class _Parser(absl_flags.ArgumentParser):
    """Parses a flag's text as a setting's."""

    def __init__(self, field):
        super().__init__()
        self._field = field
        self.syntactic_help = field.wanted

    def parse(self, argument):
        """The value."""
        return self._field.parsed(argument) if isinstance(argument, str) else argument


class Flags:
    """The flags of one command.

    A flag's value is an attribute: `flags.batch_size`; None if it was not given and has no
    default.

    Attributes:
      program: how the command was called, such as ./run_cifar_train.py.
      line: the whole command line.
    """

    def __init__(self, program, line, essential=()):
        """`essential` names the flags that stand first in the help, in this order."""
        self.program, self.line = program, line
        self._values = absl_flags.FlagValues()
        self._essential = essential
        self._fields = {}
        self._hidden = ()

    # ----------------------------------------------------------------- defining

    def setting(self, field, default_text=None):
        """Defines the flag of a settings.Field; not given, it is None.

        Args:
          field: settings.Field.
          default_text: what holds then, for the help; default: the field's own default.
        """
        if default_text is None and field.default not in (None, dataclasses.MISSING):
            default_text = _text(field.default)
        self._define(field, None, default_text)

    def settings(self, fields, without=()):
        """Defines the flags of {name: Field}, but those named `without`, and fixed ones."""
        for name, field in fields.items():
            if name not in without and not field.facts.is_fixed:
                self.setting(field)

    def text(self, group, name, text, default=None, default_text=None, choices=()):
        """Defines a flag that takes a text, perhaps one of some choices."""
        facts = Setting(text, group=group, choices=tuple(choices))
        self._define(Field(name, str, None, False, default, facts), default, default_text)

    def integer(self, group, name, text, default=None, low=0, default_text=None):
        """Defines a flag that takes an integer of `low` or more."""
        facts = Setting(text, group=group, low=low)
        self._define(Field(name, int, None, False, default, facts), default, default_text)

    def list(self, group, name, text, default=None, item=str):
        """Defines a flag that takes values with commas between."""
        facts = Setting(text, group=group, may_be_empty=True)
        self._define(Field(name, tuple, item, False, default, facts), default, None)

    def switch(self, group, name, text, default=False):
        """Defines a flag that is there or not: --name or --noname."""
        facts = Setting(text, group=group)
        self._define(Field(name, bool, None, False, default, facts), default, None)

    def _define(self, field, default, default_text):
        if default_text is None and default not in (None, False):
            default_text = _text(default)
        help_text = field.facts.help.removesuffix(".")
        if default_text:
            help_text += f" (default {default_text})"
        self._fields[field.name] = (field, help_text)
        if field.kind is bool:
            flag = absl_flags.BooleanFlag(field.name, default, help_text)
            flag.parser = _Parser(field)
            absl_flags.DEFINE_flag(flag, self._values)
            return
        serializer = absl_flags.ArgumentSerializer()
        absl_flags.DEFINE(_Parser(field), field.name, default, help_text, self._values, serializer)

    # ------------------------------------------------------------------ parsing

    def parse(self, arguments):
        """Takes up the arguments; returns the positional ones.

        Raises:
          UsageError: an unknown flag, or a value that does not fit.
        """
        for name in (argument.partition("=")[0] for argument in arguments):
            if name.startswith("-") and len(name) > LONGEST_NAME:  # absl compares it to all
                raise UsageError(f"unknown flag {shown(name)}. See --help")
        self._values.set_gnu_getopt(True)
        try:
            return self._values([self.program, *arguments])[1:]
        except absl_flags.UnrecognizedFlagError as error:
            hint = self._meant(error.flagname) or "there is none near to it."
            raise UsageError(f"unknown flag {error.flagname!r}: {hint} See --help") from None
        except (absl_flags.Error, ValueError) as error:  # the latter of --norestore=1
            if isinstance(error.__context__, SettingError):
                raise UsageError(f"--{error.__context__}") from None
            raise UsageError(f"{error}. See --help") from None

    def _meant(self, name):
        """ "did you mean ...?" of an unknown flag; "" if none is near."""
        known = {n: field for n, (field, _) in self._fields.items() if n not in self._hidden}
        off = [f"no{name}" for name, field in known.items() if field.kind is bool]
        return near(re.sub("^no[-_]", "no", name), [*known, *off])

    def __getattr__(self, name):
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"no flag {name!r} is defined")
        return self._values[name].value

    def __contains__(self, name):
        """Whether a flag is defined."""
        return name in self._values

    def is_given(self, name):
        """Whether a flag stands on the command line."""
        return name in self._values and bool(self._values[name].present)

    def given(self, names):
        """{name: value} of the flags among `names` that exist and have a value."""
        return {n: getattr(self, n) for n in names if n in self and getattr(self, n) is not None}

    def program_of(self, script, command):
        """How another command is called: as the script at the top level, if this one was."""
        if " " not in self.program and self.program.endswith(".py"):
            return self.program[: self.program.rindex("/") + 1] + script
        return f"{self.program.rpartition(' ')[0]} {command}"

    def hide(self, names):
        """Leaves flags out of the help: they mean nothing to this command, which refuses them."""
        self._hidden = names

    def names(self):
        """Names of all flags, in the order of their definition."""
        return list(self._fields)

    # --------------------------------------------------------------------- help

    def help(self):
        """The flags in groups, as text."""
        groups = {ESSENTIALS: [name for name in self._essential if name in self._fields]}
        for name, (field, _) in self._fields.items():
            if name not in self._essential:
                groups.setdefault(field.facts.group, []).append(name)
        parts = []
        for title, names in groups.items():
            lines = [self._help_of(name) for name in names if name not in self._hidden]
            parts += ["\n".join([f"{title}:", *lines])] if lines else []
        return "\n\n".join(parts)

    def _help_of(self, name):
        field, text = self._fields[name]
        start = f"  --{'[no]' if field.kind is bool else ''}{name}"
        if field.kind is not bool:
            start += f" {_placeholder(field)}"
        choices = field.facts.choices
        text = f"{text}: {', '.join(choices)}" if choices else text
        width = min(max(shutil.get_terminal_size().columns, MIN_WIDTH), MAX_WIDTH)
        body = textwrap.wrap(text, width - INDENT)
        if len(start) < INDENT - 1:
            first, *rest = body
            lines = [start.ljust(INDENT) + first, *(" " * INDENT + line for line in rest)]
        else:
            lines = [start, *(" " * INDENT + line for line in body)]
        return "\n".join(lines)


def _placeholder(field):
    """What stands for a flag's value in help."""
    if field.facts.choices:
        return "CHOICE"
    if field.facts.is_size:
        return "SIZE"
    words = {int: "N", float: "X", str: "TEXT"}
    return f"{words[field.item]},..." if field.item else words[field.kind]


def _text(value):
    """A value as a flag has it."""
    if isinstance(value, tuple):
        return ",".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
