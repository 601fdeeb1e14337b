"""Builders that are killed in the middle: the next start ends what they began, and tidies up."""

import numpy as np

from miniature import contents
from processes import REPOSITORY, run_file
from resnet.data.cifar.records import read_records
from resnet.data.imagenet.input import open_imagenet


def test_the_next_start_ends_what_a_killed_one_began(tmp_path):
    printed = run_file(REPOSITORY / "tests/faults/writes_and_dies.py", tmp_path)
    lines = [line for line in printed.splitlines() if line.startswith(("killed:", "built:"))]
    killed, later, built = lines
    assert ".part/train-00000-of-00001" in killed and "data/cifar-10/dataset.json" not in killed
    assert "shards/train-00002-of-00003" in later and ".part" in later
    assert set(built.split()[1:]) == {
        *(f"data/cifar-10/{name}-00000-of-00001" for name in ("test", "train")),
        *("data/cifar-10/dataset.json", "shards/dataset.json"),
        *(f"shards/train-0000{i}-of-00003" for i in range(3)),
    }
    _, _, images, _ = contents("cifar-10", "binary")
    np.testing.assert_array_equal(read_records(tmp_path / "data/cifar-10").train.images, images)
    assert open_imagenet(tmp_path / "shards", 4).num_images("train") == 12
