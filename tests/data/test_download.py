"""Downloads from servers of every bad kind: an end, a limit, and nothing taken for another file."""

import json
import os
import signal
import subprocess
import sys
import types
import urllib.request

import pytest

from processes import REPOSITORY
from resnet.data import download
from resnet.data.download import UnreachableError, fetch
from resnet.errors import DataError, UserError
from web import Scripted, serving

CONTENT = bytes(range(256)) * 400
HALF = len(CONTENT) // 2


@pytest.fixture
def path(tmp_path):
    return tmp_path / "downloads" / "file.tar.gz"


def get(path, content=CONTENT, **script):
    """Fetches once; returns the headers of what was asked."""
    asked = []
    with serving(Scripted, content=content, asked=asked, **script) as url:
        download_from(f"{url}/x", path)
    return asked


def download_from(url, path):
    # Ports differ from server to server: to a download, they are one.
    known = path.with_name(f"{path.name}.download.json")
    if known.exists():
        known.write_text(json.dumps(json.loads(known.read_text()) | {"url": url}))
    fetch(url, path, lambda _: None)


def break_off(path, tag='"one"', **script):
    """Leaves the first half of a download."""
    with pytest.raises(UnreachableError, match=f"ended after {HALF} of {len(CONTENT)} bytes. Try"):
        get(path, tag=tag, ends_after=HALF, **script)
    assert not path.exists()


def names(path):
    return sorted(one.name for one in path.parent.iterdir())


def test_a_broken_download_goes_on(path):
    break_off(path)
    assert names(path) == ["file.tar.gz.download", "file.tar.gz.download.json"]
    (asked,) = get(path, tag='"one"')
    assert (asked["Range"], asked["If-Range"]) == (f"bytes={HALF}-", '"one"')
    assert path.read_bytes() == CONTENT and names(path) == ["file.tar.gz"]


@pytest.mark.parametrize(
    ("script", "times"),
    [
        ({"tag": '"two"'}, 1),  # another file by now
        ({"tag": '"two"', "knows_if_range": False}, 2),  # sends a part of it all the same
        ({"tag": '"one"', "knows_range": False}, 1),
        ({"tag": None}, 1),
    ],
    ids=["changed", "changed, without If-Range", "without Range", "without ETag"],
)
def test_a_part_is_never_taken_for_another_file(path, script, times):
    break_off(path)
    other = CONTENT[::-1]
    assert len(get(path, other, **script)) == times
    assert path.read_bytes() == other and names(path) == ["file.tar.gz"]


def test_an_answer_in_chunks_is_whole_or_broken_off(path):
    get(path, chunked=True)
    assert path.read_bytes() == CONTENT
    path.unlink()
    with pytest.raises(UnreachableError, match=r"/x broke off\. Try again"):
        get(path, chunked=True, ends_after=HALF)
    assert names(path) == []


def test_a_part_of_before_is_none_of_a_file_that_is_killed_at_its_start(path, monkeypatch):
    break_off(path)
    monkeypatch.setattr(download, "_copy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        get(path, CONTENT[::-1], tag='"two"')
    monkeypatch.undo()
    (asked,) = get(path, CONTENT[::-1], tag='"two"')
    assert "Range" not in asked and path.read_bytes() == CONTENT[::-1]


def test_what_is_left_and_of_no_use_is_removed(path):
    state = path.with_name("file.tar.gz.download.json")
    for text in ("{", "[]", json.dumps({"url": "x", "validator": 3}), json.dumps({"url": "other"})):
        break_off(path)
        state.write_text(text)
        with serving(Scripted, content=CONTENT, asked=(asked := []), tag='"one"') as url:
            fetch(f"{url}/x", path, lambda _: None)
        assert "Range" not in asked[0] and path.read_bytes() == CONTENT
        path.unlink()
    break_off(path)  # a part that is as long as the file: the server has no further byte
    state.with_suffix("").write_bytes(CONTENT)
    assert len(get(path, tag='"one"')) == 2 and path.read_bytes() == CONTENT
    path.unlink()
    break_off(path, tag='W/"weak"')  # says nothing of single bytes
    assert names(path) == []


def test_what_is_refused_when_it_is_complete_is_not_kept(path):
    def check(_):
        raise DataError("wrong checksum")

    with (
        serving(Scripted, content=CONTENT, asked=[], tag='"one"') as url,
        pytest.raises(DataError, match="wrong checksum"),
    ):
        fetch(f"{url}/x", path, check)
    assert names(path) == []


def test_a_server_that_drips_has_an_end(path, monkeypatch):
    monkeypatch.setattr(download, "WINDOW_SECONDS", 0.2)
    with pytest.raises(UnreachableError, match=r"sends [0-9,]+ bytes a second, less than 5,000\."):
        get(path, CONTENT[:100], drips=0.02)
    monkeypatch.setattr(download, "WINDOW_SECONDS", 60)
    monkeypatch.setattr(download, "LONGEST_SECONDS", 0.2)
    with pytest.raises(UnreachableError, match=r"has not come to its end in .* hours\. Try"):
        get(path, CONTENT[:100], drips=0.02)
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.3)
    with pytest.raises(UnreachableError, match=r"cannot be reached: no whole answer in 0\.3 s"):
        get(path, CONTENT[:100], drips=0.002, headers_drip=True)


@pytest.mark.parametrize("says", [True, False])
def test_a_file_that_is_too_large_is_refused(path, says, monkeypatch):
    monkeypatch.setattr(download, "LARGEST_BYTES", HALF)
    if not says:
        monkeypatch.setattr(download, "_length", lambda *_: None)
    with pytest.raises(DataError, match=r"has [0-9,]+ bytes or more, but 51,200 at most"):
        get(path, tag='"one"')
    assert names(path) == []


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_redirects_to_other_schemes_are_refused(path, place):
    with pytest.raises(DataError, match=r"Redirection to url .* is not allowed|which is refused"):
        get(path, redirect=place)
    assert names(path) == []


def test_a_redirect_from_https_to_http_is_refused():
    request = urllib.request.Request("https://one.example/x")
    answer, redirects = types.SimpleNamespace(close=lambda: None), download._Redirects()
    with pytest.raises(DataError, match=r"redirects to http://two\.example, which is refused"):
        redirects.redirect_request(request, answer, 302, "Found", {}, "http://two.example")
    found = redirects.redirect_request(request, answer, 302, "", {}, "https://two.example/x")
    assert found.full_url == "https://two.example/x"


def test_a_redirect_is_followed(path):
    with serving(Scripted, content=CONTENT, asked=[]) as url:
        get(path, redirect=f"{url}/there")
    assert path.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_named(path, monkeypatch):
    path.parent.parent.joinpath("downloads").write_text("")
    with pytest.raises(
        UserError, match=r"cannot write .*file.tar.gz: .*A file stands where a folder"
    ):
        get(path)


KILLED = """\
import os, pathlib, signal, sys
from resnet.data import download
read, left = download._read, [3]
def killed(*arguments):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(*arguments)
download._read, download.CHUNK_BYTES = killed, 10_000
download.fetch(sys.argv[1], pathlib.Path(sys.argv[2]), lambda _: None)
"""


def test_a_killed_download_goes_on(path):
    with serving(Scripted, content=CONTENT, asked=(asked := []), tag='"one"') as url:
        line = [sys.executable, "-c", KILLED, f"{url}/x", str(path)]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(line, env=environment, capture_output=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, done.stderr
        fetch(f"{url}/x", path, lambda _: None)
    assert path.read_bytes() == CONTENT and names(path) == ["file.tar.gz"]
    assert len(asked) == 2 and "Range" in asked[1]
