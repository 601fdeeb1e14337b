"""Damaged files of every kind: named, or what they say is still what it was. Never a traceback.

Formats with a checksum (archives, TFRecords, indices, checkpoints, arrays, weights) never give
anything else than what was written. Those without (JSON and YAML to be edited, CSV, pictures)
give what they now say, if it makes sense. The quick form tries QUICK damages a file, the full one
(-m faults_full) FULL.
"""

import dataclasses
import functools
import io
import pathlib
import shutil
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from damage import damaged
from images import encoded, make_tree, picture, write_tar
from miniature import contents, pack
from processes import REPOSITORY, run_quickly, write_config
from resnet.configs import get_config
from resnet.data.cifar.archives import read_archive
from resnet.data.cifar.records import read_records as read_cifar_records
from resnet.data.cifar.records import write_records
from resnet.data.imagenet.annotations import read_boxes
from resnet.data.imagenet.index import Index, write_index
from resnet.data.imagenet.input import find_damage, open_imagenet
from resnet.data.imagenet.raw_images import RawImage
from resnet.data.imagenet.writer import write_shard
from resnet.data.photos import load_photo
from resnet.errors import UserError
from resnet.training.bad_data import bad_data
from resnet.training.experiment import load_experiment
from resnet.training.logs import Logs, read_values
from resnet.training.record import keep_records, read_records
from resnet.weights.checkpoint_format import read_checkpoint

QUICK, FULL = 6, 60
IMAGENET_CONFIG = dataclasses.replace(get_config("revnet-56"), image_size=32, num_classes=4)
ANNOTATION = b"""<annotation><size><width>50</width><height>40</height></size><object>
<bndbox><xmin>5</xmin><ymin>4</ymin><xmax>25</xmax><ymax>30</ymax></bndbox></object></annotation>"""
PICTURES = ("png", "jpeg", "webp", "bmp")
EDITED = ("conf.json", "result.json", "label_names.json", "train_ce.csv", "catalog", "cmd.txt")


def arrays_of(dataset):
    found = [dataset.train.images, dataset.train.labels, dataset.test.images, dataset.test.labels]
    return [*found, np.array(dataset.label_names)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Files of every kind, sound."""
    folder = tmp_path_factory.mktemp("place")
    for layout in ("python", "binary"):
        archive, members, *_ = contents("cifar-10", layout)
        pack(archive, members, folder)
        with tarfile.open(folder / f"{layout}.tar.xz", "w:xz") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(f"{archive.folder}/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    write_records(read_archive(archive, folder / archive.file_name), folder / "cifar-10")
    for form in PICTURES:
        (folder / f"picture.{form}").write_bytes(encoded(picture(1), form.upper()))
    places = [f"--results={folder}/results", f"--logs={folder}/logs"]
    small = [f"--config={write_config(folder)}", "--max_num_steps=2", "--eval_images=500"]
    done = run_quickly("train-cifar", "--dataset=synthetic", "--id=one", *small, *places)
    assert done.returncode == 0, done.stderr
    keep_records(folder / "results", folder / "logs", folder / "kept", lambda _: True)
    shutil.copytree(REPOSITORY / "resnet/pretrained/revnet-38_cifar-10", folder / "weights")
    names = make_tree(folder / "raw" / "train", 2)
    synsets = sorted(set(names.values()))
    records = [
        (RawImage(name, synset, f"{folder}/raw/train/{synset}/{name}"), synsets.index(synset) + 1)
        for name, synset in names.items()
    ]
    shard = folder / "imagenet" / "train-00000-of-00001"
    write_shard(shard, [(image, label, image.folder, "", ()) for image, label in records], True)
    write_index(shard.parent, Index(tuple(synsets), {"train": {"images": len(records)}}))
    boxes = {f"{name}.xml": ANNOTATION for name in names}
    write_tar(folder / "boxes.tgz", boxes, "w:gz")
    return folder


def load_archive(place, path, layout):
    archive, *_ = contents("cifar-10", layout)
    return arrays_of(read_archive(archive, path))


def load_one(place, *_):
    experiment = load_experiment("one", place / "results", place / "logs")
    experiment.make_network(1)
    return [np.array(experiment.label_names)]


def load_checkpoint(place, *_):
    found = read_checkpoint(place / "results/one/model.ckpt-2")
    return [found[name] for name in sorted(found)]


def load_mean(place, *_):
    experiment = load_experiment("one", place / "results", place / "logs")
    return [experiment.kept("mean_image", lambda: pytest.fail("computed anew"))]


def open_logs(place, *_):
    logs = Logs(place / "logs/one", "command", {"train_ce": "ce"}, 2)
    return [np.array([float(logs.has("train_ce", 9)), float(len(logs.commands()) > 0)])]


def load_shards(place, *_):
    """The records of ImageNet's shards, as a training takes them."""
    found = open_imagenet(place / "imagenet", 4)
    records = tf.data.TFRecordDataset([shard.path for shard in found.shards["train"]])
    try:
        read = [np.frombuffer(record, np.uint8) for record in records.as_numpy_iterator()]
    except tf.errors.OpError as error:
        find = functools.partial(find_damage, found, IMAGENET_CONFIG, "train")
        raise bad_data(error, "training", find) from None
    return [*read, np.array(found.label_names)]


def load_weights(place, *_):
    from resnet.pretrained import open_pretrained

    found = open_pretrained(place / "weights").read().weights
    return [found[name] for name in sorted(found)]


LOADERS = {
    "cifar-10-python.tar.gz": lambda *a: load_archive(*a, "python"),
    "cifar-10-binary.tar.gz": lambda *a: load_archive(*a, "binary"),
    "python.tar.xz": lambda *a: load_archive(*a, "python"),
    "binary.tar.xz": lambda *a: load_archive(*a, "binary"),
    "cifar-10/dataset.json": lambda place, _: arrays_of(read_cifar_records(place / "cifar-10")),
    "cifar-10/train-00000-of-00001": lambda place, _: arrays_of(
        read_cifar_records(place / "cifar-10")
    ),
    "results/one/model.ckpt-2.index": load_checkpoint,
    "results/one/model.ckpt-2.data-00000-of-00001": load_checkpoint,
    "results/one/mean_image.npy": load_mean,
    "results/one/conf.json": load_one,
    "results/one/label_names.json": load_one,
    "kept/one/result.json": lambda place, _: [
        np.array([one.id for one in read_records(place / "kept", lambda _: True)])
    ],
    "logs/one/train_ce.csv": lambda _, path: [np.array(read_values(path)).reshape(-1, 2)],
    "logs/one/catalog": open_logs,
    "logs/one/cmd.txt": open_logs,
    "imagenet/train-00000-of-00001": load_shards,
    "imagenet/dataset.json": load_shards,
    "boxes.tgz": lambda _, path: [np.array(sorted(read_boxes(path).items(), key=str), object)],
    "weights/weights.npz": load_weights,
    "weights/facts.json": load_weights,
    **{
        f"picture.{form}": lambda _, path: [np.asarray(load_photo(path, 32)[0])]
        for form in PICTURES
    },
}


def attack(place, name, count):
    """{what became of a damage: how often}."""
    path, load = place / name, LOADERS[name]
    before, wanted = path.read_bytes(), LOADERS[name](place, place / name)
    is_edited = path.name in (*EDITED, "facts.json") or path.stem == "picture"
    found = {"named": 0, "the same": 0, "what it says": 0}
    try:
        for what, content in damaged(before, count):
            path.write_bytes(content)
            try:
                got = load(place, path)
            except UserError as error:
                base = path.name.partition(".data-")[0].removesuffix(".index")
                assert base in str(error), f"{name}, {what}: {error}"
                assert len(str(error)) < 1500 and "{{" not in str(error), error
                found["named"] += 1
                continue
            is_same = len(got) == len(wanted) and all(map(np.array_equal, got, wanted))
            assert is_same or is_edited, f"{name}, {what}: taken"
            found["the same" if is_same else "what it says"] += 1
    finally:
        path.write_bytes(before)
    return found


@pytest.mark.parametrize("name", LOADERS)
def test_damage_is_named_or_changes_nothing(place, name):
    assert sum(attack(place, name, QUICK).values()) == QUICK


@pytest.mark.faults_full
def test_a_thousand_damages(place):
    total = {}
    for name in LOADERS:
        count = FULL // 3 if name.startswith("weights") else FULL
        for what, number in attack(place, name, count).items():
            total[what] = total.get(what, 0) + number
    print(total)
    assert sum(total.values()) > 1_000


def test_arrays_that_are_none(tmp_path):
    """What bit flips seldom make: other types, no numbers, and files of another kind."""
    from resnet.arrays import load_array, save_array

    path = tmp_path / "mean_image.npy"
    save_array(path, np.ones([2, 3], np.float32))
    np.testing.assert_array_equal(np.load(path), load_array(path))  # anybody can read it
    for array in (np.array(["text"]), np.ones(3, complex), np.array([np.nan]), np.ones(3, int)):
        np.save(path, array)
        with pytest.raises(UserError, match=r"mean_image.npy is damaged .* Remove it to compute"):
            load_array(path)
    np.savez(tmp_path / "x.npz", a=np.ones(3))
    for content in (b"", b"PK\x03\x04", (tmp_path / "x.npz").read_bytes(), b"\x93NUMPY\x01\x00"):
        pathlib.Path(path).write_bytes(content)
        with pytest.raises(UserError, match=r"mean_image.npy is damaged"):
            load_array(path)
    np.save(path, np.ones([2, 3], np.float32))  # as older versions wrote it
    np.testing.assert_array_equal(load_array(path), np.ones([2, 3]))


def test_an_index_is_what_was_written(place):
    path = place / "cifar-10" / "dataset.json"
    before = path.read_text()
    path.write_text(before.replace("deer", "dear"))  # still JSON
    try:
        with pytest.raises(UserError, match=r"dataset.json is damaged \(its checksum is another\)"):
            read_cifar_records(place / "cifar-10")
    finally:
        path.write_text(before)


@pytest.mark.faults_full
@pytest.mark.filterwarnings("ignore")  # of Keras, about what it finds
@pytest.mark.parametrize("kind", ["keras", "npz"])
def test_damaged_exports_are_refused_by_those_who_read_them(place, tmp_path, kind):
    """Keras' and NumPy's own errors; never other weights than were written."""
    from resnet.models import get_model
    from resnet.weights.export_formats import WRITERS

    def read(path):
        if kind == "keras":
            return [np.asarray(weight) for weight in keras.models.load_model(path).weights]
        with np.load(path, allow_pickle=False) as file:
            return [file[name] for name in sorted(file.files)]

    path, refused = tmp_path / f"model.{kind}", 0
    WRITERS[kind](get_model("revnet-test"), None, path)
    wanted, before = read(path), path.read_bytes()
    for what, content in damaged(before, FULL):
        path.write_bytes(content)
        try:
            found = read(path)
        except Exception:
            refused += 1
            continue
        assert len(found) == len(wanted) and all(map(np.array_equal, found, wanted)), what
    assert refused > FULL // 2
