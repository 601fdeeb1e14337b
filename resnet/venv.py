"""Scripts run in the environment that setup.sh made, with nothing to activate."""

import importlib.util
import os
import pathlib
import sys


def run_in_venv(script: str | os.PathLike[str]) -> None:
    """Starts `script` again under .venv beside it, where there is one.

    An environment that is already active is left alone.

    Without any, a missing TensorFlow is said in one line.

    Args:
      script: path of the running script, its __file__.
    """
    python = pathlib.Path(script).resolve().parent / ".venv" / "bin" / "python"
    if sys.prefix == sys.base_prefix and python.exists():
        os.execv(python, [str(python), *sys.argv])
    if not all(importlib.util.find_spec(name) for name in ("absl", "tensorflow", "tqdm")):
        print(f"error: {sys.executable} lacks TensorFlow: run ./setup.sh first", file=sys.stderr)
        sys.exit(1)
