"""Sizes of memory as people write them."""

import math
import re

from resnet.errors import UsageError, shown

EXAMPLES = "800MB, 2GB or 1.5GiB"
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(text: str) -> int:
    """Bytes of a text such as 800MB, 1.5GiB or 123456.

    Raises:
      UsageError (a ValueError): it is not a size.
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([A-Za-z]*)\s*", text)
    size = float(found[1]) * UNITS.get(found[2].upper(), math.nan) if found else math.nan
    if not math.isfinite(size):  # no number, no unit, or hundreds of digits
        raise UsageError(
            f"{shown(text)} is not a size: give a number with a unit, such as {EXAMPLES}"
        )
    return round(size)
