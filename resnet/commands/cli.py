"""What every command does around its main function: flags in, errors out in one line."""

import contextlib
import dataclasses
import importlib
import os
import shlex
import sys

from resnet.commands.allocator import start_with
from resnet.commands.flags import HELP_FLAGS, Flags
from resnet.errors import UsageError, UserError, exit_with, message_of, near, of_system
from resnet.quiet import load_tensorflow


@dataclasses.dataclass(frozen=True)
class Command:
    """One command, in a module of its own.

    The module's docstring is its help. It has `define_flags(flags)`, `main(flags, *positional)`,
    which returns the exit code, and perhaps ESSENTIAL, names of flags that come first in the
    help, POSITIONAL, names of positional arguments, the last perhaps with "...": one or more, and
    MISSING, what to do where one is missing. It is imported for --help: what loads TensorFlow is
    imported in `main`.
    """

    summary: str
    module: str
    computes: bool = True  # whether it needs TensorFlow


COMMANDS = {
    "train-cifar": Command(
        "train on CIFAR, own images, tfds: data sets or the embedded one",
        "resnet.commands.cifar_train",
    ),
    "train-imagenet": Command(
        "train on ImageNet, on several GPUs or hosts", "resnet.commands.imagenet_train"
    ),
    "evaluate": Command(
        "evaluate checkpoints of a training, or trained weights", "resnet.commands.evaluate"
    ),
    "experiments": Command("train the experiments of a YAML file", "resnet.commands.experiments"),
    "predict": Command("say what is on images, by trained weights", "resnet.commands.predict"),
    "weights": Command("list the trained weights", "resnet.commands.weights", False),
    "plot": Command("draw curves and mistakes of experiments", "resnet.commands.plot"),
    "report": Command("write a page about trainings", "resnet.commands.report"),
    "results": Command("write tables of finished trainings", "resnet.commands.results"),
    "export": Command("write a trained model for use elsewhere", "resnet.commands.export"),
    "publish": Command(
        "make trained weights a folder that one argument loads", "resnet.commands.publish"
    ),
    "import": Command("take another project's weights", "resnet.commands.import_weights"),
    "configs": Command("list the named configs, or all settings", "resnet.commands.configs", False),
    "benchmark": Command("measure speed and memory", "resnet.commands.benchmark"),
    "memory": Command("explain the memory of a training step", "resnet.commands.memory"),
    "build-cifar": Command("fetch CIFAR and write its TFRecords", "resnet.commands.build_cifar"),
    "build-imagenet": Command("write ImageNet's TFRecords", "resnet.commands.build_imagenet"),
}


def main():
    """The console script `resnet`, and python -m resnet."""
    program, *arguments = sys.argv
    is_module = os.path.basename(program) == "__main__.py"
    start = f"{shlex.quote(sys.executable)} -m resnet" if is_module else "resnet"
    if not arguments or arguments[0] in HELP_FLAGS:
        print(_overview())
        sys.exit(0)
    name, *arguments = arguments
    if name == "--version":
        print(importlib.import_module("resnet").__version__)
        sys.exit(0)
    if name not in COMMANDS:
        hint = near(name, COMMANDS) or f"choose one of {', '.join(COMMANDS)}"
        exit_with(UsageError(f"unknown command {name!r}: {hint}"))
    run(name, arguments, f"{start} {name}")


def run_script(name):
    """What the scripts at the top level do: they are commands too."""
    script, *arguments = sys.argv
    run(name, arguments, shlex.quote(script if "/" in script else f"./{script}"))


def run(name, arguments, program):
    """Parses flags and runs a command; errors that a user can mend end in one line.

    Args:
      name: one of COMMANDS.
      arguments: list of texts.
      program: how the command was called, for hints.

    Exit codes: 0, 1 for bad data and the like, 2 for bad flags and configs.
    """
    with contextlib.suppress(AttributeError):  # a stream that takes every character
        sys.stdout.reconfigure(errors="backslashreplace")
    command = COMMANDS[name]
    module = importlib.import_module(command.module)
    line = (
        shlex.join([program, *arguments])
        if " " not in program
        else (f"{program} {shlex.join(arguments)}")
    )
    flags = Flags(program, line.strip(), getattr(module, "ESSENTIAL", ()))
    module.define_flags(flags)
    try:
        if any(argument in HELP_FLAGS for argument in arguments):
            print(f"{module.__doc__.strip()}\n\n{flags.help()}", flush=True)
            sys.exit(0)
        positional = flags.parse(arguments)
        _check_positional(positional, getattr(module, "POSITIONAL", ()), module)
        if "allocator" in flags:
            start_with(flags.allocator)
        if command.computes:
            load_tensorflow()
        code = module.main(flags, *positional)
    except UserError as error:
        exit_with(error)
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        exit_with(of_system(error))
    except MemoryError as error:
        detail = f" ({error})" if str(error) else ""
        exit_with(UserError(f"out of memory{detail}: end other processes, or raise its limit"))
    except KeyboardInterrupt:
        interrupted = UserError("interrupted; what was saved before is complete")
        interrupted.exit_code = 130
        exit_with(interrupted)
    except Exception as error:
        tensorflow = sys.modules.get("tensorflow")
        if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
            raise
        exit_with(UserError(message_of(error)))
    sys.exit(code)


def _overview():
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "Reversible and memory-efficient image classification in TensorFlow 2.",
            "",
            "resnet COMMAND [flags]; resnet COMMAND --help lists a command's flags.",
            "",
            "Commands:",
            *lines,
        ]
    )


def _check_positional(arguments, names, module):
    if len(arguments) < len(names):
        remedy = getattr(module, "MISSING", "see --help")
        raise UsageError(f"{names[len(arguments)]} is missing: {remedy}")
    if len(arguments) > len(names) and not (names and names[-1].endswith("...")):
        extra = arguments[len(names)]
        raise UsageError(f"unexpected argument {extra!r}: flags start with --; see --help")
