"""setup.sh and the CIFAR builder, with miniature archives from a server on this machine."""

import functools
import http.server
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from miniature import contents, pack
from processes import REPOSITORY, error_of
from resnet.data.cifar.input import load_dataset


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    """(folder, base URL) of a server on the loopback interface."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def setup(tmp_path, *arguments):
    """Runs setup.sh in this environment, with folders of its own."""
    python = sys.prefix if sys.prefix != sys.base_prefix else str(tmp_path / "no-such-venv")
    if not list(pathlib.Path(python).glob("installed-*,dev")):
        pytest.skip("setup.sh --dev did not make this environment; it would install packages")
    return subprocess.run(
        [
            str(REPOSITORY / "setup.sh"),
            "--dev",
            *(f"--{name}={tmp_path}/{name}" for name in ("data_root", "logs_dir", "save_dir")),
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"VENV": python},
        timeout=120,
    )


@pytest.mark.parametrize("layout", ["binary", "python"])
def test_fetch_verify_convert_and_do_nothing_twice(tmp_path, site, layout):
    folder, url = site
    archive, members, images, _ = contents("cifar-10", layout)
    pack(archive, members, folder)
    arguments = ["--datasets", "cifar-10", "--source", url]

    refused = setup(tmp_path, *arguments)
    assert "but the published one is" in error_of(refused)
    assert not (tmp_path / "data_root" / "cifar-10").exists()

    done = setup(tmp_path, *arguments, "--no-verify-checksum")
    assert done.returncode == 0, done.stderr
    loaded = load_dataset("cifar-10", tmp_path / "data_root")
    assert (loaded.train.images == images).all()
    assert (tmp_path / "logs_dir").is_dir() and (tmp_path / "save_dir").is_dir()

    (folder / archive.file_name).unlink()
    again = setup(tmp_path, *arguments, "--no-verify-checksum")
    assert again.returncode == 0, again.stderr
    assert "is complete" in again.stdout


@pytest.mark.parametrize("place", ["folder", "archive"])
def test_local_sources(tmp_path, place):
    archive, members, images, _ = contents("cifar-100", "python")
    path = pack(archive, members, tmp_path)
    source = tmp_path if place == "folder" else path
    done = setup(tmp_path, f"--source={source}", "--datasets=cifar-100", "--no-verify-checksum")
    assert done.returncode == 0, done.stderr
    loaded = load_dataset("cifar-100", tmp_path / "data_root")
    assert (loaded.train.images == images).all()


def test_a_site_without_an_answer(tmp_path):
    # Nothing listens on port 9 of the loopback interface.
    source = "--source=http://127.0.0.1:9"
    plain = setup(tmp_path, source)
    assert plain.returncode == 0, plain.stderr
    assert "still missing: cifar-10, cifar-100. Fetch later with" in plain.stdout
    assert "--dataset synthetic" in plain.stdout
    named = setup(tmp_path, source, "--datasets=cifar-10")
    assert "cannot be reached" in error_of(named)
    assert named.returncode == 1


def test_a_download_cut_short_does_not_count(tmp_path):
    class Truncating(QuietHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Truncating)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        done = setup(tmp_path, f"--source={url}", "--datasets=cifar-10", "--no-verify-checksum")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "ended after 10 of 1000 bytes" in error_of(done)
    assert list((tmp_path / "data_root").rglob("*.*")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset"], "unknown option --dataset"),
        (["--datasets"], "--datasets needs a value"),
        (["--datasets=mnist"], "unknown data set 'mnist' in --datasets"),
        (["--datasets="], "--datasets needs a value"),
        (["--source", "--dev"], "--source needs a value"),
        (["--dev=false"], "unknown option --dev=false"),
        (["--source=/nowhere", "--datasets=cifar-10"], "--source /nowhere does not exist"),
    ],
)
def test_bad_options(tmp_path, arguments, message):
    assert message in error_of(setup(tmp_path, *arguments))


def test_help():
    done = subprocess.run(
        [str(REPOSITORY / "setup.sh"), "--help"], capture_output=True, text=True, check=True
    )
    assert "--no-verify-checksum" in done.stdout
