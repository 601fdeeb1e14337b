"""The examples as a user runs them: what they promise of memory, and that they learn."""

import json
import re

import PIL.Image
import pytest

from processes import REPOSITORY, run_file

EXAMPLES = sorted(
    path.name
    for path in (REPOSITORY / "examples").glob("*.py")
    if path.name not in ("side_by_side.py", "glow.py", "flow_depth.py")
)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_reversible_takes_less_than_half_of_the_memory(name):
    printed = run_file(REPOSITORY / "examples" / name)
    print(printed)
    assert float(re.search(r"reversible takes (\S+) of the memory", printed)[1]) < 0.5
    first, last = (re.search(rf"loss {when}.* (\S+)\n", printed)[1] for when in ("at first", "of"))
    assert float(last) < float(first)


@pytest.mark.slow
def test_glow_learns_and_draws_its_sheet(tmp_path):
    arguments = ["--minutes=1", "--round=20", "--batch_size=16", f"--sheet={tmp_path / 'it.png'}"]
    printed = run_file(REPOSITORY / "examples/glow.py", *arguments)
    print(printed)
    first, *_, last = map(float, re.findall(r"(\S+) on 512 test images", printed))
    assert last < first
    with PIL.Image.open(tmp_path / "it.png") as sheet:
        assert sheet.size == (8 * 32, 8 * 32)


@pytest.mark.slow
def test_a_flows_memory_is_measured_in_a_process_of_its_own():
    script, sizes = REPOSITORY / "examples/flow_depth.py", ("8", "32")
    peaks = [
        json.loads(run_file(script, "--one", backprop, *sizes).splitlines()[-1])["peak_mb"]
        for backprop in ("stored", "reversible")
    ]
    assert peaks[0] > peaks[1] > 0
