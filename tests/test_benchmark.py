"""The benchmark's output, and memory in bytes: what reversible backprop is for."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import resnet
from processes import error_of, run, run_quickly, start
from resnet.commands import benchmark as command
from resnet.commands.benchmark import compare as compare_module
from resnet.commands.benchmark.compare import PEERS, WAYS, Comparison, compare, peer_row
from resnet.commands.benchmark.fresh_process import COMMAND, MeasurementError, in_fresh_process
from resnet.commands.benchmark.report import HEADER, report
from resnet.commands.benchmark.training import Measurement, with_recompute_grad
from resnet.commands.flags import Flags
from resnet.errors import UserError
from resnet.reversible import sequence

# Python without any packages: neither TensorFlow nor torch.
BARE_PYTHON = [sys.executable, "-S"]
BASE = Measurement(config=resnet.get_config("revnet-38"), options={}, batch_size=8, steps=1)


def benchmark(*arguments):
    done = run_quickly("benchmark", *arguments)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def test_one_json_line():
    result = benchmark("--model=revnet-test", "--batch_size=4", "--steps=2")
    assert result["parameters"] == 23_098
    for field in ("images_per_second", "peak_rss_mb", "first_step_seconds", "seconds_per_step"):
        assert result[field] > 0
    assert set(result["versions"]) == {"python", "tensorflow", "numpy"}


@pytest.mark.parametrize(
    ("units", "least", "ratio"), [(3, 2, 2), pytest.param(9, 7, 6, marks=pytest.mark.slow)]
)
def test_memory_is_freed(units, least, ratio):
    """The slope of peak memory over the batch, of RevNet-110 and of a third of it.

    Stored: each of the 108 convolutions in the units keeps its input and, if a batch
    norm follows, its output: 3 half-width tensors a residual function, and one sum.
    A half is 32 * 32 * 16 * 4 = 65,536 bytes in stage 1, half that in stage 2 and a
    quarter in stage 3, 18 functions each: 65,536 * 1.75 * 18 * 4 = 8.3 MB an image.
    Reversible backprop keeps about 1 MB an image, whatever the depth.
    """
    slopes = {
        backprop: benchmark(
            "--model=revnet-110",
            f"--units={units},{units},{units}",
            f"--backprop={backprop}",
            "--batch_size=16",
            "--steps=1",
            "--memory_slope=16,48",
        )["mb_per_image"]
        for backprop in ("stored", "reversible")
    }
    print(f"MB an image: {slopes}")
    assert slopes["stored"] > least
    assert slopes["stored"] / slopes["reversible"] >= ratio


def test_recompute_grad_is_another_way_to_the_same_gradients(monkeypatch):
    def gradients(**options):
        model = resnet.get_model("revnet-test", **options)
        images = np.random.default_rng(0).standard_normal([4, 8, 8, 3], np.float32)
        step = tf.function(model.loss_and_gradients, autograph=False)
        return step(images, np.arange(4, dtype=np.int32))[1]

    wanted, calls = gradients(backprop="stored"), []

    def counted(function):
        calls.append(function)
        return with_recompute_grad(function)

    monkeypatch.setattr(sequence, "recompute", counted)
    got = gradients(backprop="checkpoint")
    assert len(calls) == sum(resnet.get_config("revnet-test").units)
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-4, atol=1e-6, err_msg=name)


def flags_of(*arguments):
    flags = Flags("resnet benchmark", "resnet benchmark")
    command.define_flags(flags)
    flags.parse(list(arguments))
    return flags


def test_a_measurement_is_its_command_line():
    options = {"backprop": "checkpoint", "dtype": "bfloat16", "exact": False, "memory_budget": 5000}
    measured = dataclasses.replace(
        BASE,
        config=dataclasses.replace(BASE.config, units=(1, 2, 3)),
        options=options,
        recompute_grad=True,
        jit="off",
    )
    flags = flags_of(*measured.command[len(COMMAND) :])
    assert flags.in_process and command._measurement(flags) == measured


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit('error: too little of it')", "too little of it"),
        ("raise ValueError('all wrong')", "ValueError: all wrong"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL, perhaps for want of memory"),
        ("import sys; sys.exit(3)", "it ended with exit code 3"),
        ("print('no numbers')", "it printed no JSON line"),
    ],
)
def test_a_failed_measurement_says_why_in_one_line(code, reason):
    with pytest.raises(MeasurementError) as caught:
        in_fresh_process([*BARE_PYTHON, "-c", code])
    assert caught.value.reason == reason
    assert ("Traceback" in caught.value.details) == ("ValueError" in reason)


class Processes:
    """Stands for in_fresh_process: what is asked for, and made-up results.

    The n-th row's speed is n images a second, ten times that with a type of half the bytes.
    """

    def __init__(self, fails=lambda row, call: None):
        self.rows, self.calls, self.commands, self.fails = [], [], {}, fails

    def __call__(self, line):
        settings = dict(one[2:].split("=") for one in line if one.startswith("--") and "=" in one)
        key = tuple(one for one in line if "batch_size" not in one and "steps" not in one)
        if key not in self.commands:
            self.commands[key] = line
        number = list(self.commands).index(key) + 1
        self.calls.append(number)
        error = self.fails(number, self.calls.count(number))
        if error:
            raise error
        return {
            "images_per_second": float(number),
            "first_step_seconds": 0.5,
            "peak_rss_mb": 100 + 2.5 * int(settings["batch_size"]),
            "device": "/cpu:0",
            "versions": {"torch" if "--strides=1,2,2" in line else "tensorflow": "2"},
        }


def compared(monkeypatch, processes, rounds=2):
    """(results, cells of the table by row, the lines beneath)."""
    monkeypatch.setattr(compare_module, "in_fresh_process", processes)
    comparison = Comparison(BASE, dict.fromkeys(PEERS, sys.executable), rounds, (16, 32))
    results = compare(comparison)
    header, _, *rows, blank, provenance = report(comparison, results).splitlines()
    assert [cell.strip() for cell in header.split("|")[1:-1]] == list(HEADER) and not blank
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    return (
        results,
        {name: dict(zip(HEADER[1:], row, strict=True)) for name, *row in cells},
        provenance,
    )


def test_the_table_of_a_comparison(monkeypatch, capfd):
    processes = Processes()
    results, cells, provenance = compared(monkeypatch, processes)
    peers = ["MemCNN, float32, reversible"]
    peers += [f"RevLib, {dtype}, reversible" for dtype in ("float32", "bfloat16")]
    assert list(cells) == [*WAYS, *peers] and not results.failed
    # All rows in turn, each round anew, then the two batches for the slope of each.
    assert processes.calls == [*range(1, 11)] * 2 + [n for n in range(1, 11) for _ in range(2)]
    # Rows 1 to 7 are this library's, 8 is MemCNN, 9 and 10 are RevLib in both types.
    assert cells["float32 exact, stored"] == {
        "images/s (rounds)": "3.0 (3.0-3.0)",
        "over MemCNN": "0.38 (0.38-0.38)",
        "over RevLib": "0.33 (0.33-0.33)",
        "time over stored": "1",
        "MB an image": "2.50",
        "peak, MB": "120",
        "first step, s": "0.5",
    }
    # bfloat16 is set against RevLib's bfloat16, and MemCNN's only type; stored's time is that
    # of the same type.
    row = cells["bfloat16 exact, reversible"]
    assert (row["over MemCNN"], row["over RevLib"]) == ("0.62 (0.62-0.62)", "0.50 (0.50-0.50)")
    assert row["time over stored"] == "1.40 (1.40-1.40)"
    assert cells[peers[0]]["over MemCNN"] == "1" and cells[peers[0]]["time over stored"] == ""
    assert cells[peers[2]]["over RevLib"] == "1"
    assert "2 rounds of all rows in turn" in provenance and "Interrupted" not in provenance
    assert "tensorflow 2, torch 2" in provenance and "Device /cpu:0" in provenance
    said = capfd.readouterr().err.splitlines()
    assert said[1] == ("[2/40] round 1 of 2: float32 exact, reversible, loop: 2.0 images/s, 120 MB")
    assert said[-1].startswith("[40/40] memory of a batch of 32: RevLib, bfloat16")


def test_a_row_that_fails_leaves_the_others(monkeypatch, capfd):
    def fails(row, call):
        if row == 4 or (row == 6 and call == 2) or (row == 7 and call == 4):
            return MeasurementError("killed by SIGKILL", ["x"], "all that\nit said")
        return FileNotFoundError("no python") if row == 8 else None

    processes = Processes(fails)
    results, cells, _ = compared(monkeypatch, processes)
    names = [*WAYS, peer_row("MemCNN", "float32")]
    assert list(results.failed) == [names[3], names[7], names[5], names[6]]
    assert [processes.calls.count(row) for row in (3, 4, 6, 7, 8)] == [4, 1, 2, 4, 1]
    assert cells[names[3]]["images/s (rounds)"] == "failed: killed by SIGKILL"
    assert set(cells[names[3]].values()) == {"failed: killed by SIGKILL", ""}
    assert cells[names[7]]["images/s (rounds)"] == "failed: no python"
    # Of what was measured before it failed, the numbers stay.
    assert cells[names[5]]["images/s (rounds)"] == "6.0 (6.0-6.0); failed: killed by SIGKILL"
    assert cells[names[5]]["over RevLib"] == "0.60 (0.60-0.60)"
    assert cells[names[6]]["MB an image"] == "" and cells[names[2]]["MB an image"] == "2.50"
    assert cells[names[2]]["over MemCNN"] == "" and cells[names[2]]["over RevLib"]
    said = capfd.readouterr().err
    assert (
        f"[4/40] round 1 of 2: {names[3]}: failed: killed by SIGKILL\nall that\nit said\n" in said
    )


def test_what_was_measured_before_an_interrupt_is_printed(monkeypatch, capfd):
    processes = Processes(lambda row, call: KeyboardInterrupt() if (row, call) == (5, 2) else None)
    results, cells, provenance = compared(monkeypatch, processes)
    assert results.is_interrupted and "Interrupted: 14 of 40 measurements" in provenance
    assert {row["images/s (rounds)"].split()[0] for row in cells.values()} == {
        f"{number}.0" for number in range(1, 11)
    }
    assert not any(row["MB an image"] for row in cells.values())
    processes = Processes(lambda row, call: KeyboardInterrupt() if row == 2 else None)
    _, cells, _ = compared(monkeypatch, processes)
    assert cells["float32 exact, stored"]["images/s (rounds)"] == "not measured"
    processes = Processes(lambda row, call: KeyboardInterrupt())
    _, cells, provenance = compared(monkeypatch, processes)
    assert "0 of 40" in provenance and {row["peak, MB"] for row in cells.values()} == {""}


@pytest.mark.parametrize("error", [MeasurementError("it broke", ["x"]), KeyboardInterrupt(), None])
def test_the_command_prints_the_table_and_then_fails(monkeypatch, capsys, error):
    processes = Processes(lambda row, call: error if row == 2 else None)
    monkeypatch.setattr(compare_module, "in_fresh_process", processes)
    flags = flags_of("--compare", "--rounds=1", "--memory_slope=4,8")
    if error is None:
        command.main(flags)
    else:
        with pytest.raises(UserError if isinstance(error, UserError) else KeyboardInterrupt) as end:
            command.main(flags)
        assert isinstance(error, KeyboardInterrupt) or "1 of 7 rows failed" in str(end.value)
    assert "| float32 exact, reversible | 1.0 (1.0-1.0) |" in capsys.readouterr().out


def test_ctrl_c_ends_a_measurement_and_prints_what_there_is():
    # Steps without end, so that the first row is being measured when it comes.
    process = start("benchmark", "--compare", "--model=revnet-test", f"--steps={10**6}")
    assert process.stderr.read(len("[1/35]")) == "[1/35]"
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=240)
    assert process.returncode == 130 and "Traceback" not in said, said
    assert "| float32 exact, reversible | not measured |" in printed
    assert "Interrupted: 0 of 35 measurements" in printed


PEER_ROWS = [(library, dtype) for library, (_, dtypes) in PEERS.items() for dtype in dtypes]


@pytest.mark.parametrize("step", sorted({step for step, _ in PEERS.values()}))
def test_step_files_find_what_they_import_without_any_package(step, tmp_path):
    path = pathlib.Path(compare_module.__file__).with_name(step)
    done = bare(str(path), "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--memory_slope" not in done.stdout and "--num_classes" in done.stdout


@pytest.mark.parametrize(("library", "dtype"), PEER_ROWS)
def test_step_files_take_what_the_comparison_gives_them(library, dtype, tmp_path):
    comparison = Comparison(BASE, {library: sys.executable}, 1, (4, 8))
    python, *line = compare_module._commands(comparison)[peer_row(library, dtype)](16, 3)
    assert python == sys.executable and f"--dtype={dtype}" in line
    assert {"--units=3,3,3", "--filters=32,32,64,112", "--strides=1,2,2"} <= set(line)
    done = bare(*line, folder=tmp_path)
    # The flags are understood; torch is what is missing.
    assert done.returncode == 1 and done.stderr.startswith("error: "), done.stderr
    assert "No module named 'torch'" in done.stderr and len(done.stderr.splitlines()) == 1


def bare(*arguments, folder):
    """Runs a Python without packages in an empty folder."""
    return subprocess.run(
        [*BARE_PYTHON, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": os.defpath},
        timeout=240,
    )


@pytest.mark.slow
def test_compare_prints_a_table_of_every_way():
    arguments = "--model=revnet-test --batch_size=4 --steps=1 --rounds=2 --memory_slope=4,8"
    done = run("benchmark", "--compare", *arguments.split())
    assert done.returncode == 0, done.stderr
    header, _, *rows, blank, provenance = done.stdout.splitlines()
    assert [cell.strip() for cell in header.split("|")[1:-1]] == list(HEADER)
    assert [row.split("|")[1].strip() for row in rows] == list(WAYS)
    assert blank == "" and "2 rounds of all rows in turn" in provenance
    for row in rows:
        rate, *peers, stored, slope, peak, first = row.split("|")[2:-1]
        assert float(rate.split()[0]) > 0 and not any(peer.strip() for peer in peers)
        # Four tiny images more may fit in what the allocator has: the slope can be 0.
        assert np.isfinite(float(slope))
        assert all(float(number.split()[0]) > 0 for number in (stored, peak, first))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--memory_slope=64", "must be two rising batch sizes"),
        ("--data=imagenet", "whose images are prepared by 'cifar': give one for ImageNet"),
        ("--compare --model=resnet-32", "--compare needs a RevNet"),
        ("--compare --memcnn_python=nowhere", "give the python of an environment with torch"),
        ("--rounds=9", "--rounds does not go with a measurement without --compare"),
        ("--data_dir=nowhere", "--data_dir does not go with a measurement without --data"),
        ("--data=imagenet --steps=3", "--steps does not go with --data: leave it out"),
        ("--units=3,x,3", "must be a list of integers"),
        ("--units=3,3", "must be as long as units (2)"),
        ("--model=revnet-39", "unknown model 'revnet-39'"),
        ("--steps=0", "--steps is 0, but must be an integer in [1, 2^31)"),
    ],
)
def test_bad_flags(arguments, message):
    done = run_quickly("benchmark", "--model=revnet-38", "--batch_size=2", *arguments.split())
    assert message in error_of(done)
