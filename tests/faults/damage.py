"""Damaged copies of a file's content, the same for the same seed."""

import numpy as np


def damaged(content, count, seed=0):
    """Yields (what was done, bytes) `count` times: flipped, cut, lost, doubled or foreign bytes."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        data = bytearray(content)
        place = int(rng.integers(0, max(1, len(data))))
        size = int(rng.integers(1, 1 + min(64, max(1, len(data) // 4))))
        match i % 6:
            case 0:
                what, bit = "flipped bit", int(rng.integers(8))
                data[place] ^= 1 << bit
            case 1:
                what = "cut off"
                del data[place:]
            case 2:
                what = "lost bytes"
                del data[place : place + size]
            case 3:
                what = "doubled bytes"
                data[place:place] = data[place : place + size]
            case 4:
                what = "zeroed block"
                data[place : place + size] = bytes(len(data[place : place + size]))
            case _:
                what = "random bytes"
                data[place : place + size] = rng.bytes(len(data[place : place + size]))
        yield f"{what} at {place}, {size}", bytes(data)


# What nobody means: of every kind, too large, too deep, and what breaks programs that print it.
ODD_VALUES = (
    *(None, True, -1, 0, 0.5, 1e308, float("inf"), float("nan"), 10**9, 2**63, 10**400),
    *("", "x", "0", "../x", "a\0b", "\ud800", "9" * 400 + "GB", "x" * 5000, "2026-99-99"),
    *([], {}, [[]], [None], ["x"], [1] * 2000, [10**400], {"x": 1}, {"x": {"y": []}}),
)


def odd_settings(content, names, count, seed=0):
    """Yields (what was done, dict) `count` times: a dict with odd values at some of its keys.

    Args:
      content: dict.
      names: list of further keys that it may have.
    """
    rng = np.random.default_rng(seed)
    keys = [*content, *names]
    for _ in range(count):
        chosen = [keys[i] for i in rng.integers(0, len(keys), int(rng.integers(1, 3)))]
        odd = {key: ODD_VALUES[int(rng.integers(len(ODD_VALUES)))] for key in chosen}
        yield f"{str(odd)[:200]}", content | odd
