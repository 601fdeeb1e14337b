"""CIFAR-10: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.

Source of names and checksums: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from resnet.data.entry import Archive, InMemory

SITE = "https://www.cs.toronto.edu/~kriz/"  # its authors'


def load(data_folder):
    """The Dataset, from its TFRecords or a published archive."""
    from resnet.data.cifar.input import load_built

    return load_built(ENTRY.name, data_folder)


ENTRY = InMemory(
    name="cifar-10",
    num_classes=10,
    num_training_images=50_000,
    # The deviations are means over images of each image's own, as all of the field has them.
    channels=((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    load=load,
    site=SITE,
    archives=(
        Archive(  # first: it needs no unpickling
            dataset="cifar-10",
            layout="binary",
            file_name="cifar-10-binary.tar.gz",
            folder="cifar-10-batches-bin",
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            test=("test_batch.bin",),
            label_names="batches.meta.txt",
        ),
        Archive(
            dataset="cifar-10",
            layout="python",
            file_name="cifar-10-python.tar.gz",
            folder="cifar-10-batches-py",
            sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            train=tuple(f"data_batch_{i}" for i in range(1, 6)),
            test=("test_batch",),
            label_names="batches.meta",
        ),
    ),
)
