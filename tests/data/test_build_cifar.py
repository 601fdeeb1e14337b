"""The builder of CIFAR's TFRecords without setup.sh: where archives come from, and what counts."""

import dataclasses
import shutil

import numpy as np
import pytest

from miniature import contents, pack
from processes import error_of, run_quickly
from resnet.data.cifar import build
from resnet.data.cifar.archives import archives_of
from resnet.data.cifar.input import DOWNLOADS, load_dataset
from resnet.data.download import NotThereError, UnreachableError, fetch, sha256
from resnet.errors import DataError
from web import Truncating, serving


def archive_in(folder, layout="python", dataset="cifar-10"):
    """(path of a miniature archive, its training images)."""
    folder.mkdir(exist_ok=True)
    archive, members, images, _ = contents(dataset, layout)
    return pack(archive, members, folder), images


@pytest.mark.parametrize("layout", ["binary", "python"])
def test_a_site_has_one_layout_or_the_other(layout, tmp_path, capsys):
    path, images = archive_in(tmp_path / "site", layout)
    root = tmp_path / "data"
    with serving(directory=str(path.parent)) as url:
        build.build("cifar-10", root, url + "/", verify=False)
    np.testing.assert_array_equal(load_dataset("cifar-10", root).train.images, images)
    assert (root / DOWNLOADS / path.name).is_file()
    assert f"checksum of {path.name} not verified" in capsys.readouterr().out
    # What is downloaded is not fetched again.
    (root / "cifar-10" / "dataset.json").unlink()
    (root / "cifar-10").rename(tmp_path / "away")
    build.build("cifar-10", root, "http://127.0.0.1:9", verify=False)
    assert load_dataset("cifar-10", root).train.images.shape == images.shape


@pytest.mark.parametrize("place", ["folder", "archive", "extracted"])
def test_local_sources(place, tmp_path, capsys):
    path, images = archive_in(tmp_path / "site", dataset="cifar-100")
    source = path if place == "archive" else path.parent
    if place == "extracted":
        shutil.unpack_archive(path, path.parent, filter="data")
        path.unlink()
    build.build("cifar-100", tmp_path / "data", source, verify=place == "extracted")
    assert ("is extracted" in capsys.readouterr().out) == (place == "extracted")
    np.testing.assert_array_equal(load_dataset("cifar-100", tmp_path / "data").train.images, images)


def test_checksums_are_the_published_ones(tmp_path, monkeypatch):
    path, images = archive_in(tmp_path / "site")
    root = tmp_path / "data"
    for source in (path, path.parent):
        with pytest.raises(DataError, match=r"has SHA-256 \w{64}, but the published one is \w{64}"):
            build.build("cifar-10", root, source)
    with (
        serving(directory=str(path.parent)) as url,
        pytest.raises(DataError, match="but the published one is"),
    ):
        build.build("cifar-10", root, url)
    assert not list(root.rglob("*.gz"))  # a download that is not the published one is not kept
    own = [dataclasses.replace(archive, sha256=sha256(path)) for archive in archives_of("cifar-10")]
    monkeypatch.setattr(build, "archives_of", lambda name: own)
    with serving(directory=str(path.parent)) as url:
        build.build("cifar-10", root, url)
    np.testing.assert_array_equal(load_dataset("cifar-10", root).train.images, images)


def test_places_that_have_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.tar.gz").write_text("")
    for source, message in {
        "nowhere": "--source nowhere does not exist",
        tmp_path / "empty": "cifar-10 is not in --source",
        tmp_path / "other.tar.gz": "cifar-10 is not in --source",
    }.items():
        with pytest.raises(DataError, match=message):
            build.build("cifar-10", tmp_path / "data", source, verify=False)
    with (
        serving(directory=str(tmp_path / "empty")) as url,
        pytest.raises(DataError, match=r"answers 404 .*Give another place with --source"),
    ):
        build.build("cifar-10", tmp_path / "data", url, verify=False)
    with pytest.raises(UnreachableError, match="cannot be reached"):
        build.build("cifar-10", tmp_path / "data", "http://127.0.0.1:9", verify=False)


def test_a_place_that_is_taken_is_named_before_anything_is_read(tmp_path):
    root = tmp_path / "data"
    (root / "cifar-10").mkdir(parents=True)
    with pytest.raises(DataError, match="nowhere does not exist"):  # there is room
        build.build("cifar-10", root, "nowhere", verify=False)
    (root / "cifar-10/mine.txt").touch()
    with pytest.raises(DataError, match=r"cifar-10 is there, but is no data set .*: move it away"):
        build.build("cifar-10", root, "nowhere", verify=False)


def test_downloads_that_end_early_or_are_none(tmp_path):
    path = tmp_path / "file"
    with (
        serving(Truncating) as url,
        pytest.raises(UnreachableError, match="ended after 10 of 1000 bytes"),
    ):
        fetch(f"{url}/file", path, lambda path: None)
    with serving(directory=str(tmp_path)) as url, pytest.raises(NotThereError, match="404"):
        fetch(f"{url}/file", path, lambda path: None)
    with pytest.raises(DataError, match="is no address that can be fetched"):
        fetch("file", path, lambda path: None)
    assert not list(tmp_path.iterdir())


def test_a_download_that_is_no_archive_is_not_taken_again(tmp_path, capsys):
    site, root = tmp_path / "site", tmp_path / "data"
    site.mkdir()
    for archive in build.archives_of("cifar-10"):
        (site / archive.file_name).write_bytes(b"a page that says no")
    kept = root / "downloads" / build.archives_of("cifar-10")[0].file_name
    with serving(directory=str(site)) as url:
        with pytest.raises(DataError, match=r"truncated or no archive\. Fetch it again"):
            build.build("cifar-10", root, url, verify=False)
        assert not kept.exists() and f"{kept} is removed" in capsys.readouterr().out
        with pytest.raises(DataError, match="no archive"):  # a file of one's own is left
            build.build("cifar-10", root, site / kept.name, verify=False)
        kept.write_bytes(b"of one's own")
        with pytest.raises(DataError, match="no archive"):
            build.build("cifar-10", root, url, verify=False)
    assert (site / kept.name).exists() and kept.exists()


def test_the_command(tmp_path):
    path, images = archive_in(tmp_path / "site")
    arguments = [f"--data_root={tmp_path}/data", "--noverify_checksum"]
    for line in ("cifar-10: reading", "is complete"):
        done = run_quickly("build-cifar", f"--source={path}", *arguments)
        assert done.returncode == 0, done.stderr
        assert line in done.stdout
    np.testing.assert_array_equal(load_dataset("cifar-10", tmp_path / "data").train.images, images)
    elsewhere = ["--source=http://127.0.0.1:9", *arguments]
    said = error_of(run_quickly("build-cifar", *elsewhere))
    assert "cannot be reached" in said and "another place with --source FOLDER|ARCHIVE|URL" in said
    done = run_quickly("build-cifar", *elsewhere, "--if_reachable")
    assert done.returncode == 0 and "still missing: cifar-100. Fetch later" in done.stdout
    assert f"--datasets cifar-100 --data_root {tmp_path}/data, or" in done.stdout
    done = run_quickly(
        "build-cifar", f"--source={path}", "--datasets=cifar-10, cifar-10", *arguments
    )
    assert done.stdout.count("is complete") == 1, done.stderr
    done = run_quickly("build-cifar", "--datasets=mnist", *arguments)
    assert "unknown data set 'mnist' in --datasets" in error_of(done)
