"""Measurements in fresh processes: a peak of memory is that of a process's whole life."""

import json
import os
import shlex
import signal
import subprocess
import sys

from resnet.errors import UserError

COMMAND = (sys.executable, "-m", "resnet", "benchmark")


class MeasurementError(UserError):
    """A measurement failed.

    Attributes:
      reason: why, in one line.
      details: what it said, if that is more than a line.
    """

    def __init__(self, reason, command, details=""):
        super().__init__(f"a measurement failed: {reason} ({shlex.join(command)})")
        self.reason, self.details = reason, details


def in_fresh_process(command, environment=None):
    """The JSON line that a command prints last, as a dict.

    Args:
      command: list of texts.
      environment: {name: value} beside this process's.

    Raises:
      MeasurementError: it failed.
    """
    variables = os.environ | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        details = "\n".join(said) if len(said) > 1 else ""
        raise MeasurementError(_reason(done.returncode, said), command, details)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise MeasurementError("it printed no JSON line", command) from None


def _reason(code, said):
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    return said[-1].strip().removeprefix("error: ") if said else f"it ended with exit code {code}"
