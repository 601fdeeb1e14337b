"""setup.sh and the CIFAR builder, with miniature archives from a server on this machine."""

import os
import shlex
import subprocess
import sys

import pytest

import children
from miniature import contents, pack
from processes import REPOSITORY, error_of
from resnet.data.cifar.input import load_dataset
from web import Truncating, serving


@pytest.fixture
def site(tmp_path):
    """(folder, base URL) of a server on the loopback interface."""
    folder = tmp_path / "site"
    folder.mkdir()
    with serving(directory=str(folder)) as url:
        yield folder, url


# Stands for an environment's Python: the one that runs the tests, with a pip that installs nothing.
PYTHON = f"""#!/bin/sh
if [ "$1 $2" = "-m pip" ]; then
  [ "$3" = --version ] || echo "$@" >> "$(dirname "$0")/pip-runs"
  exit
fi
exec {shlex.quote(sys.executable)} "$@"
"""


@pytest.fixture
def venv(tmp_path):
    """A folder that setup.sh takes for its environment."""
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(PYTHON)
    (folder / "python").chmod(0o755)
    return folder.parent


@pytest.fixture
def setup(tmp_path, venv):
    """Function that runs setup.sh with folders of its own."""

    def run(*arguments):
        return children.run(
            [
                str(REPOSITORY / "setup.sh"),
                "--dev",
                *(f"--{name}={tmp_path}/{name}" for name in ("data_root", "logs_dir", "save_dir")),
                *arguments,
            ],
            limit=120,
            env=os.environ | {"VENV": str(venv), "PYTHON": sys.executable},
        )

    return run


def test_packages_are_installed_once(setup, venv):
    for _ in range(2):
        done = setup("--datasets=none")
        assert done.returncode == 0, done.stderr
    (line,) = (venv / "bin" / "pip-runs").read_text().splitlines()
    assert line.startswith("-m pip install ") and line.endswith(",experiments,plot,dev]")
    (stamp,) = venv.glob("installed-*")
    os.utime(stamp, (0, 0))  # older than pyproject.toml, whose packages may have changed
    assert "Installing the packages" in setup("--datasets=none").stdout


@pytest.mark.parametrize("layout", [pytest.param("binary", marks=pytest.mark.slow), "python"])
def test_fetch_verify_convert_and_do_nothing_twice(tmp_path, setup, site, layout):
    folder, url = site
    archive, members, images, _ = contents("cifar-10", layout)
    pack(archive, members, folder)
    arguments = ["--datasets", "cifar-10", "--source", url]

    refused = setup(*arguments)
    assert "but the published one is" in error_of(refused)
    assert not (tmp_path / "data_root" / "cifar-10").exists()

    done = setup(*arguments, "--no-verify-checksum")
    assert done.returncode == 0, done.stderr
    loaded = load_dataset("cifar-10", tmp_path / "data_root")
    assert (loaded.train.images == images).all()
    assert (tmp_path / "logs_dir").is_dir() and (tmp_path / "save_dir").is_dir()

    (folder / archive.file_name).unlink()
    again = setup(*arguments, "--no-verify-checksum")
    assert again.returncode == 0, again.stderr
    assert "is complete" in again.stdout
    folder = f"--data_folder {tmp_path / 'data_root'}"
    assert f"--dataset cifar-10 --model revnet-38 {folder}\n" in again.stdout


@pytest.mark.parametrize("place", ["folder", "archive"])
def test_local_sources(tmp_path, setup, place):
    archive, members, images, _ = contents("cifar-100", "python")
    path = pack(archive, members, tmp_path)
    source = tmp_path if place == "folder" else path
    done = setup(f"--source={source}", "--datasets=cifar-100", "--no-verify-checksum")
    assert done.returncode == 0, done.stderr
    loaded = load_dataset("cifar-100", tmp_path / "data_root")
    assert (loaded.train.images == images).all()


def test_a_site_without_an_answer(setup):
    # Nothing listens on port 9 of the loopback interface.
    source = "--source=http://127.0.0.1:9"
    plain = setup(source)
    assert plain.returncode == 0, plain.stderr
    assert "still missing: cifar-10, cifar-100. Fetch later with" in plain.stdout
    assert "--dataset synthetic" in plain.stdout
    named = setup(source, "--datasets=cifar-10")
    assert "cannot be reached" in error_of(named)
    assert named.returncode == 1


def test_the_library_says_how_to_get_tensorflow():
    """Of each name that needs it, in a process without; configs do without, too."""
    code = (
        "import sys, resnet; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "print(len(resnet.list_configs()) > 10)\n"
        "for name in ('Classifier', 'get_model', 'reversible', 'load'):\n"
        "    try: getattr(resnet, name)\n"
        "    except ImportError as error: print(error)\n"
    )
    done = children.run([sys.executable, "-c", code], cwd=REPOSITORY)
    assert done.stdout.startswith("True\n"), done.stderr
    for name, line in zip(
        ("Classifier", "get_model", "reversible", "load"), done.stdout.splitlines()[1:], strict=True
    ):
        assert line.startswith(f"resnet.{name} needs TensorFlow, and {sys.executable} lacks it: ")
        assert line.endswith("-m pip install '.[cpu]' (or '.[gpu]') in the clone")


def test_a_download_cut_short_does_not_count(tmp_path, setup):
    with serving(Truncating) as url:
        done = setup(f"--source={url}", "--datasets=none, cifar-10", "--noverify_checksum")
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
def test_bad_options(setup, arguments, message):
    assert message in error_of(setup(*arguments))


def test_help():
    done = subprocess.run(
        [str(REPOSITORY / "setup.sh"), "--help"], capture_output=True, text=True, check=True
    )
    assert "--no-verify-checksum" in done.stdout
