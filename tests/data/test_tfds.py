"""Data sets of tensorflow_datasets: against a stand-in with the interface of its version 4.9."""

import dataclasses
import importlib.util
import sys
import types

import numpy as np
import pytest

from processes import error_of, run_quickly
from resnet.data.registry import CIFAR
from resnet.errors import DataError, UsageError

NAMES = ["cat", "dog", "newt"]


class ClassLabel:
    """The feature of a class."""

    num_classes, names = len(NAMES), NAMES


@dataclasses.dataclass
class Splits:
    """What `info.splits[name]` says."""

    num_examples: int


class Builder:
    """A data set of grey pictures whose pixels tell their place."""

    data_dir = "/somewhere"

    def __init__(self, splits, label=None, keys=("picture", "class"), fails=False):
        self._splits, self._fails, self.is_there = splits, fails, False
        self._features = {"picture": object(), "class": label or ClassLabel()}
        self._keys = keys

    @property
    def info(self):
        """Its splits are known once it is there."""
        known = dict(self._splits) if self.is_there else {}
        if "train" in known:
            known["train[:80%]"] = known["train"] * 8 // 10
            known["train[80%:]"] = known["train"] - known["train[:80%]"]

        class Known(dict):
            def __contains__(self, name):
                return super().__contains__(name) and "[" not in name

        splits = Known({name: Splits(count) for name, count in known.items()})
        return types.SimpleNamespace(
            supervised_keys=self._keys, features=self._features, splits=splits
        )

    def download_and_prepare(self):
        """Makes it there."""
        if self._fails:
            raise ConnectionError("no route to host")
        self.is_there = True

    def as_dataset(self, split, as_supervised):
        """Pictures of 40 x 30 pixels of one grey."""
        assert as_supervised and self.is_there
        start = self._splits["train"] * 8 // 10 if split == "train[80%:]" else 0
        count = self.info.splits[split].num_examples
        pairs = [(np.full([30, 40, 1], start + i, np.uint8), (start + i) % 3) for i in range(count)]
        return types.SimpleNamespace(as_numpy_iterator=lambda: iter(pairs))


@pytest.fixture
def builders(monkeypatch):
    """{name: Builder}, to be filled, as the package has them."""
    found = {}

    class DatasetNotFoundError(ValueError):
        pass

    def builder(name):
        if name not in found:
            raise DatasetNotFoundError(f"Dataset {name} not found.\nAvailable datasets: ...")
        return found[name]

    stub = types.ModuleType("tensorflow_datasets")
    stub.builder = builder
    stub.core = types.SimpleNamespace(DatasetNotFoundError=DatasetNotFoundError)
    stub.features = types.SimpleNamespace(ClassLabel=ClassLabel)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", stub)
    return found


@pytest.mark.parametrize("test", [None, "test", "validation"])
def test_images_classes_and_splits(builders, test, capsys):
    builders["pets"] = Builder({"train": 20} | ({test: 6} if test else {}))
    entry = CIFAR["tfds:pets"]
    counts = entry.counts("data")
    dataset = entry.read("data", 16, False, ())
    assert dataset.name == "tfds:pets" and dataset.label_names == tuple(NAMES)
    num_train, num_test = (20, 6) if test else (16, 4)
    assert counts.num_classes == 3 and counts.num_training_images == num_train
    assert dataset.train.images.shape == (num_train, 16, 16, 3)
    assert dataset.train.images.dtype == np.uint8
    np.testing.assert_array_equal(dataset.train.images[:, 3, 5, 2], np.arange(num_train))
    np.testing.assert_array_equal(dataset.train.labels, np.arange(num_train) % 3)
    first = 0 if test else 16
    np.testing.assert_array_equal(dataset.test.labels, (first + np.arange(num_test)) % 3)
    assert f"{num_test} test images ({test or 'train[80%:]'})" in capsys.readouterr().out


def test_what_does_not_do(builders):
    builders |= {
        "texts": Builder({"train": 3}, keys=None),
        "boxes": Builder({"train": 3}, label=object()),
        "far": Builder({"train": 3}, fails=True),
        "exam": Builder({"test": 3}),
    }
    for name, error, message in (
        ("nope", UsageError, "has no 'nope': Dataset nope not found.$"),
        ("texts", UsageError, "does not say what is the image"),
        ("boxes", UsageError, "tfds:boxes has no classes"),
        ("far", DataError, "cannot be fetched to /somewhere: ConnectionError: no route to host"),
        ("exam", UsageError, "no split 'train', but test"),
    ):
        with pytest.raises(error, match=message):
            CIFAR[f"tfds:{name}"].read("data", 32, False, ())


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (np.zeros([30, 40, 1], np.uint16), 0, "tfds:odd, image 0 of train: an image is uint16 of"),
        (
            np.zeros([30, 40, 2], np.uint8),
            0,
            r"shape \[30, 40, 2\], but must be uint8 of 1, 3 or 4",
        ),
        (np.zeros([30, 40, 3], np.uint8), -1, "tfds:odd: the class of image 0 of train is -1"),
        (np.zeros([30, 40, 3], np.uint8), 3, "tfds:odd: the class of image 0 of train is 3"),
    ],
)
def test_images_and_labels_that_do_not_do(builders, monkeypatch, image, label, message):
    builders["odd"] = Builder({"train": 20, "test": 6})
    pairs = types.SimpleNamespace(as_numpy_iterator=lambda: iter([(image, label)]))
    monkeypatch.setattr(Builder, "as_dataset", lambda *_, **__: pairs)
    with pytest.raises(DataError, match=message):
        CIFAR["tfds:odd"].read("data", 16, False, ())


def test_the_command_says_what_it_lacks():
    if importlib.util.find_spec("tensorflow_datasets"):
        pytest.skip("tensorflow_datasets is installed")
    done = run_quickly("train-cifar", "--dataset", "tfds:mnist", "--dry_run")
    assert "this needs tensorflow-datasets, which is not installed" in error_of(done)
    done = run_quickly("train-cifar", "--dataset", "tdfs:mnist", "--dry_run")
    assert "folder, synthetic, tfds:NAME" in error_of(done)
