"""What is known of a processor, and said of it."""

import pytest
import tensorflow as tf

from resnet import processor
from resnet.commands import train
from resnet.training.placement import Placement

CORE = """processor : {}
cpu family : 25
model : 1
model name : AMD EPYC
flags : fpu fma {}

"""


@pytest.fixture
def cpuinfo(monkeypatch, tmp_path):
    """Writes what Linux says of a processor with some features."""
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")

    def write(features):
        processor.CPUINFO.write_text(CORE.format(0, features) + CORE.format(1, features))

    return write


def test_name_and_cores(cpuinfo):
    assert processor.describe_processor().endswith(("core", "cores"))  # without the file, too
    cpuinfo("avx2")
    assert processor.describe_processor().startswith("AMD EPYC (family 25, model 1), ")


@pytest.mark.parametrize(
    ("features", "dtype", "device", "is_said"),
    [
        ("avx2", "bfloat16", "/cpu:0", True),
        ("avx2", "float32", "/cpu:0", False),
        ("avx2", "bfloat16", "/gpu:0", False),
        ("avx2 avx512f", "bfloat16", "/cpu:0", False),
        (None, "bfloat16", "/cpu:0", False),  # no such file
    ],
)
def test_bfloat16_without_avx512_is_said_to_be_slow(
    cpuinfo, capsys, features, dtype, device, is_said
):
    if features:
        cpuinfo(features)
    train._say_if_slow(dtype, Placement(tf.distribute.get_strategy(), (device,)))
    said = capsys.readouterr().out
    assert said == (f"notice: {train.SLOW_BFLOAT16}\n" if is_said else "")
