"""Files are complete or not there, and errors say what they are about."""

import errno
import os
import platform
import resource
import shutil
import stat
import subprocess

import numpy as np
import pytest

from resnet.errors import UserError
from resnet.files import part_of, remove_leftovers, write_text, written_beside


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "one")
    with written_beside(path) as temporary:
        temporary.write_text("two")
        assert path.read_text() == "one" and temporary.parent == path.parent
    assert path.read_text() == "two" and names(path.parent) == ["a.txt"]


def test_what_the_dead_left_goes_with_any_ending(tmp_path):
    child = subprocess.Popen(["true"])
    child.wait()
    for ending in ("", ".keras"):
        part = f"a.{platform.node()}@{child.pid}.part{ending}"
        (tmp_path / part).write_text("half")
    write_text(tmp_path / "a", "whole")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_what_fails_at_the_end_leaves_the_old_content(call, tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(*places):
        # As the system does: fsync's error names no file.
        raise OSError(errno.ENOSPC, "No space left on device", *map(str, places[:1]))

    def fail_sync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail if call == "replace" else fail_sync)
    with pytest.raises(UserError, match=r"cannot write .*a\.txt: No space left .*Free some space"):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_mount_that_cannot_sync_folders_is_written_to(tmp_path, monkeypatch):
    def sync_of_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", sync_of_files)
    write_text(tmp_path / "inner" / "a.txt", "whole")
    assert (tmp_path / "inner" / "a.txt").read_text() == "whole"


@pytest.mark.parametrize("how", ["text", "array", "copy"])
def test_a_full_disk_is_said(how, tmp_path):
    (tmp_path / "big").write_bytes(bytes(100_000))
    path = tmp_path / "a"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with (
            pytest.raises(UserError, match=r"cannot write .*what was there is unchanged"),
            written_beside(path) as temporary,
        ):
            if how == "text":
                temporary.write_text("x" * 100_000)
            elif how == "copy":
                shutil.copyfile(tmp_path / "big", temporary)
            else:
                with open(temporary, "wb") as file:
                    np.save(file, np.zeros(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == ["big"]


def test_a_folder_that_is_none_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*(Not a directory|File exists)"):
        write_text(tmp_path / "file" / "a.txt", "new")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot write .*folder: "):
        write_text(tmp_path / "folder", "new")


def test_in_a_folder_too(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*out: No such file"):  # noqa: SIM117
        with written_beside(tmp_path / "out") as temporary:
            temporary.mkdir()
            (temporary / "not" / "there").write_text("x")
    assert names(tmp_path) == []


def test_an_error_of_reading_is_none_of_writing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    for source in ("missing", "missing/folder", ".", "a.txt/inner"):
        with pytest.raises(OSError) as found, written_beside(path) as temporary:
            temporary.write_text((tmp_path / source).read_text())
        assert not isinstance(found.value, UserError)
        assert found.value.filename == str(tmp_path / source)
    with pytest.raises(ConnectionResetError), written_beside(path) as temporary:
        temporary.write_text("half")
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_leftovers_of_the_dead_are_removed_and_of_nobody_else(tmp_path):
    own, other = part_of(tmp_path / "a"), tmp_path / f"b.elsewhere@{4_999_999}.part"
    dead = [
        tmp_path / f"c.{platform.node()}@4999999.part.data-00000-of-00001",
        tmp_path / "best" / f"d.{platform.node()}@4999999.part",
    ]
    (tmp_path / "best").mkdir()
    running = tmp_path / f"f.{platform.node()}@{os.getppid()}.part"
    # Files of others have such names too: parts of an archive, of a download.
    archives = [tmp_path / "best" / "a.part01.rar", tmp_path / "train.2012.part"]
    archives.append(tmp_path / f"mail.{platform.node()}@4999999.partial")
    kept = [other, running, tmp_path / "g.csv", *archives]
    dead.append(own)  # a process of before had the same number
    for path in (*dead, *kept):
        path.write_text("half")
    remove_leftovers(tmp_path)
    assert not any(path.exists() for path in dead)
    assert all(path.exists() for path in kept)


def test_whoever_writes_a_file_again_removes_what_a_dead_process_left_of_it(tmp_path):
    dead, running, other = (
        tmp_path / f"{name}.{platform.node()}@{pid}.part"
        for name, pid in (("a[1]", 4_999_999), ("a[1]", os.getppid()), ("b", 4_999_999))
    )
    for path in (dead, running, other):
        path.write_text("half")
    write_text(tmp_path / "a[1]", "whole")
    assert names(tmp_path) == sorted(["a[1]", running.name, other.name])
