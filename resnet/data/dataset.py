"""What a data set is once it is in memory."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Split:
    """Images and labels of one split.

    images: (N, H, W, 3) uint8. labels: (N,) int32 in [0, classes).
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)

    def take(self, part):
        """The images and labels of a slice."""
        return Split(self.images[part], self.labels[part])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Training and test split of a named data set.

    held_out: names of the test images where they were divided from the others here.
    """

    name: str
    label_names: tuple
    train: Split
    test: Split
    held_out: tuple[str, ...] = ()
