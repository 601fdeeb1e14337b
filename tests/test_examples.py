"""The examples as a user runs them: what they promise of memory, and that they learn."""

import re

import pytest

from processes import REPOSITORY, run_file

EXAMPLES = sorted(
    path.name for path in (REPOSITORY / "examples").glob("*.py") if path.name != "side_by_side.py"
)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_reversible_takes_less_than_half_of_the_memory(name):
    printed = run_file(REPOSITORY / "examples" / name)
    print(printed)
    assert float(re.search(r"reversible takes (\S+) of the memory", printed)[1]) < 0.5
    first, last = (re.search(rf"loss {when}.* (\S+)\n", printed)[1] for when in ("at first", "of"))
    assert float(last) < float(first)
