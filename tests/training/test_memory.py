"""What is said where memory does not suffice."""

import re
import resource
import types

import pytest
import tensorflow as tf

from processes import TINY, error_of, run, write_config
from resnet.configs import config_from_json
from resnet.errors import UserError
from resnet.settings import RunOptions
from resnet.training import memory
from resnet.training.experiment import Experiment


def run_of(batch_size=10, backprop="stored", **options):
    config = config_from_json(TINY | {"batch_size": batch_size})
    options = RunOptions(dataset="synthetic", backprop=backprop, **options)
    return Experiment("one", config, options, None, None)


def placement(replicas=1, uses_gpu=False):
    devices = tuple(f"/cpu:{i}" for i in range(replicas))
    return types.SimpleNamespace(num_replicas=replicas, devices=devices, uses_gpu=uses_gpu)


def test_the_need_grows_with_images_and_parameters():
    small, large = (memory.bytes_needed(run_of(n), placement()) for n in (10, 1000))
    parameters = run_of().make_network(1).num_parameters
    of_parameters = 12 * parameters  # weight, gradient and momentum
    assert small > of_parameters
    assert large - small == pytest.approx(99 * (small - of_parameters))
    assert memory.bytes_needed(run_of(1000, "reversible"), placement()) < large
    shared = memory.bytes_needed(run_of(1000), placement(2))  # images are shared, weights are not
    assert shared == pytest.approx(large + of_parameters)


def test_what_cannot_fit_is_refused_before_anything_is_built(monkeypatch):
    memory.require_memory(run_of(), placement())
    huge = run_of(1_000_000)
    memory.require_memory(huge, placement(uses_gpu=True))
    message = (
        r"needs about [\d,.]+ GB with --batch_size 1000000, --backprop stored and --dtype float32 "
        r"\(predicted\), and this machine has 16.00 GB: lower --batch_size"
    )
    monkeypatch.setattr(memory, "machine_bytes", lambda: 16 * 10**9)
    with pytest.raises(UserError, match=message):
        memory.require_memory(huge, placement())
    monkeypatch.setattr(memory, "machine_bytes", lambda: None)  # it does not say
    memory.require_memory(huge, placement())
    monkeypatch.setattr(memory, "address_space", lambda: memory.TINY_RUN_BYTES + 10**6)
    with pytest.raises(UserError, match=r"may take 2.40 GB: raise its limit \(ulimit -v\), lower"):
        memory.require_memory(run_of(), placement())


def test_remedies_are_those_that_the_training_has(monkeypatch):
    monkeypatch.setattr(memory, "machine_bytes", lambda: 1)

    def remedy(**options):
        with pytest.raises(UserError) as error:
            memory.require_memory(run_of(**options), placement())
        return str(error.value).partition(" GB: ")[2]

    sizes = "lower --batch_size or --evaluation_batch_size"
    others = "raise --num_pass, or choose a --backprop that keeps less (reversible, checkpoint)"
    assert remedy() == f"{sizes}, {others} or --dtype bfloat16"
    assert "that keeps less (reversible) or" in remedy(backprop="checkpoint")
    less = "lower --batch_size, --evaluation_batch_size or --memory_budget, or raise --num_pass"
    kept = {"backprop": "reversible", "memory_budget": 10}
    assert remedy(**kept, dtype="bfloat16") == less
    monkeypatch.setitem(TINY, "name", "resnet-32")
    monkeypatch.setitem(TINY, "family", "resnet")
    assert "that keeps less (checkpoint) or" in remedy()
    assert "--backprop that" not in remedy(backprop="checkpoint")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), r"out of memory. training needs about .* --dtype float32"),
        (MemoryError("Unable to allocate 8 MiB"), r"out of memory \(Unable to allocate 8 MiB\)"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor [Op:X]"),
            r"out of memory \(.*OOM.*\)",
        ),
    ],
)
def test_running_out_says_what_is_needed(error, message):
    remedy = ".*lower --batch_size.* raise --num_pass, or choose a --backprop .* --dtype bfloat16"
    with (
        pytest.raises(UserError, match=message + remedy),
        memory.naming_memory(run_of(), placement()),
    ):
        raise error


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (800 * 10**6, r"TensorFlow needs 1.1 GB to load, .* \(this process may take 0.80 GB\)"),
        (2 * 10**9, "with --batch_size 10, --backprop reversible and --dtype float32"),
    ],
)
def test_a_limit_of_address_space_is_named(tmp_path, limit, message):
    arguments = [f"--config={write_config(tmp_path)}", "--dataset=synthetic"]
    places = [f"--results={tmp_path}/results", f"--logs={tmp_path}/logs"]

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = run("train-cifar", *arguments, *places, preexec_fn=limited, timeout=60)
    assert re.search(message, error := error_of(done)), error
    assert "ulimit -v" in error and not (tmp_path / "results").exists()
