"""resnet memory, and what a dry run says of memory."""

import pytest

from processes import error_of, run_quickly
from resnet.commands import memory
from resnet.commands.benchmark import fresh_process
from resnet.commands.flags import Flags


@pytest.mark.slow
def test_the_report_of_a_training_step():
    done = run_quickly("memory", "--model=revnet-test", "--batch_size=4")
    assert done.returncode == 0, done.stderr
    head, kept, peak, process = done.stdout.split("\n\n")[:4]
    assert head == "revnet-test, float32, backprop reversible, 4 images at once"
    assert kept.startswith("Kept for the backward pass: ")
    assert "in the backward pass of stage_" in peak
    assert "warning: the batch is too small to matter" in done.stdout
    found = dict(line.strip().split("  ", 1)[::-1] for line in process.splitlines()[2:])
    predicted, once, pool = (
        float(found[what])
        for what in (
            "in all, predicted",
            "measured, given back at once",
            "measured, with TensorFlow's pool",
        )
    )
    assert 0 < once <= 1.1 * pool and predicted == pytest.approx(once, rel=0.5)


def test_nothing_is_run_if_not_asked_for():
    done = run_quickly("memory", "--model=resnet-test", "--batch_size=64", "--nomeasure")
    assert done.returncode == 0, done.stderr
    assert "measured" not in done.stdout and "read by the gradient: " in done.stdout
    done = run_quickly("memory", "--model=revnet-58")
    assert "unknown model 'revnet-58'" in error_of(done)


def test_a_gpus_peak_has_the_weights_in_it(monkeypatch, capsys):
    """The process's is over its size before the first step, and has not."""
    flags = Flags("resnet memory", "resnet memory")
    memory.define_flags(flags)
    assert "allocator" not in flags.names()  # it measures with two
    flags.parse(["--model=resnet-32", "--batch_size=4"])

    def measured(result):
        monkeypatch.setattr(fresh_process, "in_fresh_process", lambda command, _: result)
        memory.main(flags)
        (line,) = (one for one in capsys.readouterr().out.splitlines() if "pool" in one)
        return float(line.split()[0])

    assert measured({"peak_rss_mb": 3.0, "peak_device_mb": 100.0}) == 100
    assert measured({"peak_rss_mb": 100.0}) > 103
