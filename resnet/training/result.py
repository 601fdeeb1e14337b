"""result.json: what a finished training has reached."""

import json
import numbers

from resnet.errors import DataError

NUMBERS = ("training_seconds", "evaluation_seconds", "parameters")
TEXTS = ("machine", "commit")


def read_result(path):
    """The content of a result.json, a dict, of the form that users of it rely on.

    Args:
      path: pathlib.Path.

    Raises:
      FileNotFoundError: there is none.
      DataError: it is damaged; says how.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        _require(isinstance(result, dict), "no JSON object")
        _require(isinstance(result.get("step"), int) and result["step"] >= 0, "no step")
        accuracies = result.get("accuracy")
        _require(isinstance(accuracies, dict), "no accuracy")
        for accuracy in accuracies.values():
            _require(isinstance(accuracy, dict) and _is_number(accuracy.get("top1")), "no top1")
            _require(all(map(_is_number, accuracy.values())), "an accuracy that is no number")
        for name in NUMBERS:
            _require(_is_number(result.get(name, 0)), f"{name} is no number")
        _require(_is_number(result.get("peak_mb") or 0), "peak_mb is no number")
        for name in TEXTS:
            _require(isinstance(result.get(name) or "", str), f"{name} is no text")
        _require(isinstance(result.get("versions", {}), dict), "no versions")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is damaged ({error}): continue the training with --restore to write it anew"
        ) from None
    return result


def _is_number(value):
    return isinstance(value, numbers.Real) and abs(value) < 1e18


def _require(condition, problem):
    if not condition:
        raise ValueError(problem)
