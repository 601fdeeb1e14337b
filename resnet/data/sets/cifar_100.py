"""CIFAR-100 with its 100 fine classes: from the authors of CIFAR-10, in the same layouts."""

from resnet.data.entry import Archive, InMemory
from resnet.data.sets.cifar_10 import SITE


def load(data_folder):
    """The Dataset, from its TFRecords or a published archive."""
    from resnet.data.cifar.input import load_built

    return load_built(ENTRY.name, data_folder)


ENTRY = InMemory(
    name="cifar-100",
    num_classes=100,
    num_training_images=50_000,
    channels=((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    load=load,
    site=SITE,
    archives=(
        Archive(
            dataset="cifar-100",
            layout="binary",
            file_name="cifar-100-binary.tar.gz",
            folder="cifar-100-binary",
            sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            train=("train.bin",),
            test=("test.bin",),
            label_names="fine_label_names.txt",
            label_bytes=2,  # coarse, fine
        ),
        Archive(
            dataset="cifar-100",
            layout="python",
            file_name="cifar-100-python.tar.gz",
            folder="cifar-100-python",
            sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            train=("train",),
            test=("test",),
            label_names="meta",
            labels_key=b"fine_labels",
            names_key=b"fine_label_names",
        ),
    ),
)
