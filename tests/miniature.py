"""CIFAR archives in miniature, in the layouts of the published ones."""

import io
import pickle
import tarfile

import numpy as np

from resnet.data.cifar.archives import archives_of

CIFAR_10 = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
NAMES = {"cifar-10": CIFAR_10, "cifar-100": [f"c{i}" for i in range(100)]}
PER_FILE = 4


def contents(dataset, layout, seed=0):
    """({member: bytes}, train images, train labels) of a tiny archive."""
    archive = next(a for a in archives_of(dataset) if a.layout == layout)
    rng, members, images, labels = np.random.default_rng(seed), {}, [], []
    for name in (*archive.train, *archive.test):
        pixels = rng.integers(0, 256, [PER_FILE, 3072], np.uint8)
        fine = rng.integers(0, len(NAMES[dataset]), PER_FILE, np.uint8)
        if layout == "binary":
            coarse = [fine[:, None] // 5] if dataset == "cifar-100" else []
            members[name] = np.concatenate([*coarse, fine[:, None], pixels], axis=1).tobytes()
        else:
            key = b"labels" if dataset == "cifar-10" else b"fine_labels"
            members[name] = pickle.dumps({b"data": pixels, key: fine.tolist()}, protocol=2)
        if name in archive.train:
            images.append(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            labels.append(fine)
    if layout == "binary":
        members[archive.label_names] = ("\n".join(NAMES[dataset]) + "\n\n").encode()
    else:
        key = b"label_names" if dataset == "cifar-10" else b"fine_label_names"
        names = {key: [n.encode() for n in NAMES[dataset]]}
        members[archive.label_names] = pickle.dumps(names, protocol=2)
    return archive, members, np.concatenate(images), np.concatenate(labels)


def pack(archive, members, folder):
    path = folder / archive.file_name
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"{archive.folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path
