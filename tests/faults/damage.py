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
