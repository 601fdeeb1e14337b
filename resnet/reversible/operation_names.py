"""Where in a model an operation of a traced step stands, by its name."""

import re

SEQUENCE_SCOPES = {"reversible", "stored", "checkpoint"}
BACKWARD = {"backward", "gradient_tape"}
PASSED_OVER = BACKWARD | SEQUENCE_SCOPES | {"while", "cond", "body", "StatefulPartitionedCall"}


def place_of(name: str, root: str = "") -> str:
    """The layer and unit that an operation's name tells of: "stage_1/unit_2"; "" if none."""
    scopes = [
        scope
        for scope in name.split("/")[:-1]
        if re.sub(r"_\d+$", "", scope) not in PASSED_OVER and scope
    ]
    if root and scopes and re.fullmatch(rf"{re.escape(root)}(_\d+)?", scopes[0]):
        scopes = scopes[1:]
    for end, scope in enumerate(scopes):
        if scope in ("f", "g"):
            return "/".join(scopes[:end])
    return "/".join(scopes)


def scope_of(name: str) -> str:
    """The sequence that an operation belongs to; "" if to none."""
    scopes = _without_backward(name).split("/")[:-1]
    for end, scope in enumerate(scopes):
        if scope in SEQUENCE_SCOPES:
            return "/".join(scopes[:end])
    return ""


def _without_backward(name: str) -> str:
    return "/".join(scope for scope in name.split("/") if scope not in BACKWARD)


def is_backward(name: str) -> bool:
    return not BACKWARD.isdisjoint(name.split("/"))
