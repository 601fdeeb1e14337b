"""Trees of small JPEG images in ImageNet's layouts."""

import io
import pathlib
import struct
import tarfile
import zlib

import numpy as np
from PIL import Image

from processes import run_quickly

SYNSETS = tuple(f"n{i:08d}" for i in (3, 5, 8, 13))
# A bottleneck RevNet of four stages that trains in no time.
TINY = {
    "name": "revnet-56",
    "image_size": 32,
    "units": [1, 2, 1, 1],
    "stem_filters": 8,
    "filters": [4, 4, 8, 8],
    "num_classes": 4,
    "batch_size": 8,
    "log_every": 1,
    "save_every": 2,
    "evaluation_batch_size": 3,
}


def picture(seed, size=(50, 40)):
    """A smooth colour picture; JPEG keeps it nearly as it is."""
    coarse = np.random.default_rng(seed).integers(0, 256, [4, 4, 3], np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image, form="JPEG"):
    """The bytes of a picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def make_tree(folder, per_class=5, seed=0):
    """Class folders of JPEGs; returns {file name: synset}."""
    names = {}
    for i, synset in enumerate(SYNSETS):
        (pathlib.Path(folder) / synset).mkdir(parents=True)
        for j in range(per_class):
            name = f"{synset}_{j}.JPEG"
            content = encoded(picture(1000 * seed + 100 * i + j))
            (pathlib.Path(folder) / synset / name).write_bytes(content)
            names[name] = synset
    return names


def write_tar(path, contents, mode="w"):
    """An archive of {member name: bytes}."""
    with tarfile.open(path, mode) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def build(output, *arguments):
    """Runs the builder; returns the completed process."""
    return run_quickly("build-imagenet", f"--output_dir={output}", *arguments)


def make_shards(folder, num_train=20, num_validation=8):
    """A built data set of small images in `folder`/shards, with validation of 8; its path."""
    make_tree(folder / "train", num_train // len(SYNSETS))
    make_tree(folder / "val", num_validation // len(SYNSETS), seed=1)
    done = build(
        folder / "shards",
        f"--raw_dir={folder}",
        "--train_shards=4",
        "--validation_shards=2",
        "--num_workers=1",
    )
    assert done.returncode == 0, done.stderr
    return folder / "shards"


def claiming(form, width, height):
    """The file of a small picture whose header claims another size."""
    content = bytearray(encoded(picture(1), form))
    match form:
        case "PNG":
            content[16:24] = struct.pack(">II", width, height)
            content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        case "BMP":
            content[18:26] = struct.pack("<ii", width, height)
        case "GIF":
            content[6:10] = struct.pack("<HH", width, height)
        case "JPEG":
            start = content.index(b"\xff\xc0") + 5
            content[start : start + 4] = struct.pack(">HH", height, width)
        case "WEBP":
            start = content.index(b"VP8 ") + 14
            content[start : start + 4] = struct.pack("<HH", width, height)
    return bytes(content)
