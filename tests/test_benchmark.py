"""The benchmark's output, and memory in bytes: what reversible backprop is for."""

import json

import numpy as np
import pytest
import tensorflow as tf

import resnet
from processes import error_of, run, run_quickly
from resnet.commands.benchmark.compare import WAYS
from resnet.commands.benchmark.training import with_recompute_grad
from resnet.reversible import sequence


def benchmark(*arguments):
    done = run("resnet.commands.benchmark", *arguments)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def test_one_json_line():
    result = benchmark("--model=revnet-test", "--batch_size=4", "--steps=2")
    assert result["parameters"] == 23_098
    for field in ("images_per_second", "peak_rss_mb", "first_step_seconds", "seconds_per_step"):
        assert result[field] > 0
    assert set(result["versions"]) == {"python", "tensorflow", "numpy"}


def test_memory_is_freed():
    """RevNet-110's slope of peak memory over the batch, stored and reversible.

    Stored: each of the 108 convolutions in the units keeps its input and, if a batch
    norm follows, its output: 3 half-width tensors a residual function, and one sum.
    A half is 32 * 32 * 16 * 4 = 65,536 bytes in stage 1, half that in stage 2 and a
    quarter in stage 3, 18 functions each: 65,536 * 1.75 * 18 * 4 = 8.3 MB an image.
    """
    slopes = {
        backprop: benchmark(
            "--model=revnet-110",
            f"--backprop={backprop}",
            "--batch_size=32",
            "--steps=1",
            "--memory_slope=32,96",
        )["mb_per_image"]
        for backprop in ("stored", "reversible")
    }
    print(f"MB an image: {slopes}")
    assert slopes["stored"] > 7
    assert slopes["stored"] / slopes["reversible"] >= 6


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


@pytest.mark.slow
def test_compare_prints_a_table_of_every_way():
    arguments = "--model=revnet-test --batch_size=4 --steps=1 --rounds=2 --memory_slope=4,8"
    done = run("resnet.commands.benchmark", "--compare", *arguments.split())
    assert done.returncode == 0, done.stderr
    header, _, *rows, blank, provenance = done.stdout.splitlines()
    assert header.split("|")[2:5] == [" images/s (rounds) ", " over MemCNN ", " time over stored "]
    assert [row.split("|")[1].strip() for row in rows] == list(WAYS)
    assert blank == "" and "2 rounds of all rows in turn" in provenance
    for row in rows:
        rate, peer, *numbers = row.split("|")[2:-1]
        assert float(rate.split()[0]) > 0 and not peer.strip()
        assert all(float(number.split()[0]) for number in numbers[2:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--memory_slope=64", "must be two rising batch sizes"),
        ("--data=imagenet", "whose images are prepared by 'cifar': give one for ImageNet"),
        ("--compare --model=resnet-32", "--compare needs a RevNet"),
        ("--compare --memcnn_python=nowhere", "give the python of an environment with torch"),
        ("--units=3,x,3", "must be integers"),
        ("--units=3,3", "must be as long as units (2)"),
        ("--model=revnet-39", "unknown model 'revnet-39'"),
        ("--steps=0", "flag --steps=0: 0 is not a positive integer"),
    ],
)
def test_bad_flags(arguments, message):
    done = run_quickly(
        "resnet.commands.benchmark", "--model=revnet-38", "--batch_size=2", *arguments.split()
    )
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if "revnet-39" not in arguments and "units" not in arguments:
        error_of(done)
