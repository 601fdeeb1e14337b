"""A long run stays as it is: memory, open files and time of what is done again and again."""

import os
import statistics
import time

import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.process_memory import size_now
from resnet.training.evaluation import Evaluation
from resnet.training.logs import Logs
from resnet.training.optimizer import make_optimizer
from resnet.weights.checkpoint import list_checkpoints, remove_checkpoints, save_checkpoint

KEPT = 2
MB_PER_THOUSAND = 25  # rounds; 2 and 13 were measured, the checkpoints would be 200


def open_files():
    return len(os.listdir("/proc/self/fd"))


def thirds(folder, rounds):
    """[(MB of the process, open files, median seconds of a round)] of each third of the rounds.

    A round evaluates, writes a checkpoint and a row of the logs, and removes an old checkpoint.
    """
    model = resnet.get_model("revnet-test")
    optimizer, evaluation = make_optimizer(model), Evaluation(model)
    logs = Logs(folder / "logs", "command", {"valid_acc": "acc"})
    rng = np.random.default_rng(0)
    images = rng.standard_normal([8, 8, 8, 3], np.float32)
    labels = rng.integers(0, 10, 8, np.int32)
    found, times = [], []
    for step in range(1, rounds + 1):
        start = time.perf_counter()
        batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
        logs.write("valid_acc", step, evaluation(batches).top1)
        logs.flush()
        save_checkpoint(folder, step, model, optimizer, seed=0)
        remove_checkpoints(folder, list(list_checkpoints(folder))[-KEPT:])
        times.append(time.perf_counter() - start)
        if step % (rounds // 3) == 0:
            found.append((size_now(), open_files(), statistics.median(times)))
            times = []
    return found


def assert_all_closed(found):
    rows = (f"{mb:.1f} MB, {number} files, {seconds:.4f} s" for mb, number, seconds in found)
    print("; ".join(rows))
    assert len({number for _, number, _ in found}) == 1


def test_what_is_done_again_and_again_leaves_no_file_open(tmp_path):
    assert_all_closed(thirds(tmp_path, 60))


@pytest.mark.faults_full
def test_thousands_of_rounds_take_no_more_memory_or_time(tmp_path):
    rounds = 2100
    found = thirds(tmp_path, rounds)
    assert_all_closed(found)
    _, (middle, _, usual), (last, _, late) = found
    assert last - middle < MB_PER_THOUSAND * rounds / 3 / 1000
    assert late < 2 * usual
