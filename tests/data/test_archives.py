"""Archives and TFRecords: real layouts in miniature, and everything that can be wrong."""

import json
import os
import pathlib
import pickle
import resource

import numpy as np
import pytest

from miniature import NAMES, PER_FILE, contents, pack
from resnet.data.cifar.archives import find_archive, read_archive
from resnet.data.cifar.input import load_dataset
from resnet.data.cifar.records import read_records, write_records
from resnet.errors import DataError, UsageError, UserError

CASES = [(d, layout) for d in ("cifar-10", "cifar-100") for layout in ("binary", "python")]


@pytest.mark.parametrize(("dataset", "layout"), CASES)
@pytest.mark.parametrize("packed", [True, False])
def test_archives_and_records_round_trip(tmp_path, dataset, layout, packed):
    archive, members, images, labels = contents(dataset, layout)
    if packed:
        pack(archive, members, tmp_path)
    else:
        (tmp_path / archive.folder).mkdir()
        for name, content in members.items():
            (tmp_path / archive.folder / name).write_bytes(content)
    loaded = load_dataset(dataset, tmp_path)  # straight from the archive
    write_records(loaded, tmp_path / dataset)
    again = load_dataset(dataset, tmp_path)  # from the records
    for found in (loaded, again):
        assert found.label_names == tuple(NAMES[dataset])
        np.testing.assert_array_equal(found.train.images, images)
        np.testing.assert_array_equal(found.train.labels, labels)
        assert len(found.test) == PER_FILE


def test_the_binary_archive_comes_first(tmp_path):
    for layout in ("python", "binary"):
        archive, members, *_ = contents("cifar-10", layout)
        pack(archive, members, tmp_path)
    assert find_archive(tmp_path, "cifar-10")[0].layout == "binary"


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    archive, members, *_ = contents("cifar-10", "python")
    marker = tmp_path / "was-run"
    members["data_batch_1"] = pickle.dumps({b"data": Malicious(str(marker))})
    path = pack(archive, members, tmp_path)
    with pytest.raises(DataError, match=r"data_batch_1 is refused: it refers to .*open"):
        read_archive(archive, path)
    assert not marker.exists()


def test_member_paths_are_never_followed(tmp_path):
    archive, members, images, _ = contents("cifar-10", "binary")
    members["../../outside"] = b"x"
    path = pack(archive, members, tmp_path)
    before = set(tmp_path.rglob("*"))
    np.testing.assert_array_equal(read_archive(archive, path).train.images, images)
    assert set(tmp_path.rglob("*")) == before


def test_damaged_archives_are_named(tmp_path):
    archive, members, *_ = contents("cifar-10", "binary")
    path = pack(archive, members, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"binary.tar.gz.*(cannot be read|lacks).*"):
        read_archive(archive, path)
    short = members | {"data_batch_3.bin": members["data_batch_3.bin"][:-1]}
    with pytest.raises(DataError, match=r"data_batch_3.bin has 12291 bytes, no multiple of 3073"):
        read_archive(archive, pack(archive, short, tmp_path))
    with pytest.raises(DataError, match=r"lacks data_batch_2\.bin"):
        fewer = {n: c for n, c in members.items() if n != "data_batch_2.bin"}
        read_archive(archive, pack(archive, fewer, tmp_path))
    wrong = members | {"test_batch.bin": b"\x0b" + members["test_batch.bin"][1:]}
    with pytest.raises(DataError, match=r"labels run from \d+ to 11, but there are 10 classes"):
        read_archive(archive, pack(archive, wrong, tmp_path))


def test_damaged_records_are_named(tmp_path):
    archive, members, *_ = contents("cifar-10", "binary")
    folder = tmp_path / "cifar-10"
    write_records(read_archive(archive, pack(archive, members, tmp_path)), folder)
    shard = folder / "train-00000-of-00001"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(
        DataError,
        match=r"cifar-10/train-00000-of-00001 cannot be read: .*Remove .*cifar-10 and run",
    ):
        read_records(folder)
    shard.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    with pytest.raises(DataError, match="corrupted record"):
        read_records(folder)
    shard.unlink()
    with pytest.raises(DataError, match="is missing"):
        read_records(folder)
    (folder / "dataset.json").write_text("{}")
    with pytest.raises(DataError, match=r"dataset.json is damaged"):
        read_records(folder)


def test_a_full_disk_names_the_data_set(tmp_path):
    archive, members, *_ = contents("cifar-10", "binary")
    dataset = read_archive(archive, pack(archive, members, tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*records: .*Free some space"):
            write_records(dataset, tmp_path / "records")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == [archive.file_name]


def test_a_failed_write_leaves_nothing(tmp_path):
    archive, members, *_ = contents("cifar-10", "binary")
    dataset = read_archive(archive, pack(archive, members, tmp_path))
    broken = dataset.__class__(dataset.name, dataset.label_names, dataset.train, None)
    with pytest.raises(TypeError):
        write_records(broken, tmp_path / "records")
    assert [path.name for path in tmp_path.iterdir()] == [archive.file_name]


def test_missing_and_unknown_data_sets(tmp_path):
    with pytest.raises(DataError, match=r"run ./setup.sh --datasets cifar-100"):
        load_dataset("cifar-100", tmp_path)
    with pytest.raises(UsageError, match="unknown dataset 'mnist': choose one of cifar-10"):
        load_dataset("mnist", tmp_path)


def test_pickles_of_python_3_are_understood(tmp_path):
    archive, members, images, labels = contents("cifar-10", "python")
    for name, content in members.items():
        batch = pickle.loads(content, encoding="bytes")
        text = {key.decode(): value for key, value in batch.items()}
        if name == archive.label_names:
            text = {key: [label.decode() for label in value] for key, value in text.items()}
        members[name] = pickle.dumps(text)
    found = read_archive(archive, pack(archive, members, tmp_path))
    assert found.label_names == tuple(NAMES["cifar-10"])
    np.testing.assert_array_equal(found.train.images, images)
    np.testing.assert_array_equal(found.train.labels, labels)


def test_an_index_that_makes_no_sense_is_named(tmp_path):
    archive, members, *_ = contents("cifar-10", "binary")
    folder = tmp_path / "cifar-10"
    write_records(read_archive(archive, pack(archive, members, tmp_path)), folder)
    index = json.loads((folder / "dataset.json").read_text())
    index.pop("crc32")  # as older versions wrote it
    train = index["splits"]["train"]
    for change in (
        {"label_names": "abcdefghij"},
        {"label_names": [1] * 10},
        {"name": None},
        {"splits": {"train": 3}},
        *(
            {"splits": index["splits"] | {"train": train | entry}}
            for entry in ({"images": 10**18}, {"images": -1}, {"images": 1.5}, {"images": "20"})
        ),
        *(
            {"splits": index["splits"] | {"train": train | entry}}
            for entry in ({"shape": [3, 32, 32]}, {"shape": [10**9] * 3}, {"files": ["../x"]})
        ),
    ):
        (folder / "dataset.json").write_text(json.dumps(index | change))
        with pytest.raises(DataError, match=r"cifar-10.*(is damaged|cannot hold).* Remove .*again"):
            read_records(folder)
    (folder / "dataset.json").write_text(json.dumps(index))
    folder.rename(tmp_path / "cifar-100")
    with pytest.raises(DataError, match=r"cifar-100 holds cifar-10, not cifar-100: move it"):
        load_dataset("cifar-100", tmp_path)


def test_a_pipe_in_an_extracted_archive_is_not_waited_for(tmp_path, monkeypatch):
    archive, members, *_ = contents("cifar-10", "binary")
    (tmp_path / archive.folder).mkdir()
    for name in members:
        os.mkfifo(tmp_path / archive.folder / name)
    monkeypatch.setattr(pathlib.Path, "read_bytes", lambda path: pytest.fail("waited for"))
    with pytest.raises(DataError, match=r"lacks batches.meta.txt, data_batch_1.bin, "):
        read_archive(archive, tmp_path / archive.folder)
