"""The benchmark's output, and memory in bytes: what reversible backprop is for."""

import json

import pytest

from processes import error_of, run, run_quickly


def benchmark(*arguments):
    done = run("resnet.benchmark", *arguments)
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--memory_slope=64", "must be two rising batch sizes"),
        ("--data=imagenet", "whose images are prepared by 'cifar': give one for ImageNet"),
        ("--units=3,x,3", "must be integers"),
        ("--units=3,3", "must be as long as units (2)"),
        ("--model=revnet-39", "unknown model 'revnet-39'"),
        ("--steps=0", "flag --steps=0: 0 is not a positive integer"),
    ],
)
def test_bad_flags(arguments, message):
    done = run_quickly(
        "resnet.benchmark", "--model=revnet-38", "--batch_size=2", *arguments.split()
    )
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if "revnet-39" not in arguments and "units" not in arguments:
        error_of(done)
