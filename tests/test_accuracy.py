"""Accuracy of whole trainings: minutes each, run with pytest -m slow."""

import json

import pytest

from processes import run, run_quickly


def final_accuracy(done):
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1].removeprefix("Final test accuracy = "))


@pytest.mark.slow
def test_revnet_38_learns_the_embedded_data_set_in_300_steps(tmp_path):
    done = run(
        "run_cifar_train.py",
        "--dataset=synthetic",
        "--model=revnet-38",
        "--max_num_steps=300",
        f"--results={tmp_path}/results",
        f"--logs={tmp_path}/logs",
        timeout=600,
    )
    assert final_accuracy(done) > 90


def test_an_untrained_network_is_at_chance(tmp_path):
    config = tmp_path / "untrained.json"
    config.write_text(json.dumps({"name": "resnet-test", "num_steps": 0}))
    done = run_quickly(
        "run_cifar_train.py",
        f"--config={config}",
        "--dataset=synthetic",
        f"--results={tmp_path}/results",
        f"--logs={tmp_path}/logs",
    )
    assert 5 < final_accuracy(done) < 15
