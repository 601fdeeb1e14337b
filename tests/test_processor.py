"""What is known of a processor, and said of it."""

import os
import sys

import pytest
import tensorflow as tf

import processes
from resnet import processor, quiet
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
    ("features", "dtype", "jit", "device", "said"),
    [
        ("avx2", "bfloat16", False, "/cpu:0", [train.SLOW_BFLOAT16]),
        ("avx2", "float32", False, "/cpu:0", []),
        ("avx2", "bfloat16", False, "/gpu:0", []),
        ("avx2", "bfloat16", True, "/gpu:0", [train.SLOW_START]),
        ("avx2 avx512f", "bfloat16", False, "/cpu:0", []),
        (None, "bfloat16", False, "/cpu:0", []),  # no such file
    ],
)
def test_what_will_be_slow_is_said(cpuinfo, capsys, features, dtype, jit, device, said):
    if features:
        cpuinfo(features)
    train._say_if_slow(dtype, jit, Placement(tf.distribute.get_strategy(), (device,)))
    assert capsys.readouterr().out == "".join(f"notice: {text}\n" for text in said)


@pytest.mark.parametrize(("set_before", "taken"), [(None, "1"), ("0", "0")])
def test_commands_take_onednn_on_every_processor_unless_asked_not_to(
    monkeypatch, set_before, taken
):
    name = processes.ONEDNN
    monkeypatch.delenv(name)
    if set_before is not None:
        monkeypatch.setenv(name, set_before)
    monkeypatch.delitem(sys.modules, "tensorflow")
    seen = []
    monkeypatch.setattr(quiet.importlib, "import_module", lambda _: seen.append(os.environ[name]))
    quiet.load_tensorflow()
    assert seen == [taken]
