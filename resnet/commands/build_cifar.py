"""Fetches CIFAR-10 and CIFAR-100, verifies them and writes TFRecords.

    python -m resnet build-cifar --datasets cifar-10,cifar-100 --data_root ./data

What is there already is not done again. ./setup.sh calls this.
"""

import pathlib

from absl import flags

from resnet.commands import cli
from resnet.data.cifar.archives import ARCHIVES, archives_of, find_archive, read_archive
from resnet.data.cifar.input import DOWNLOADS
from resnet.data.cifar.records import has_records, write_records
from resnet.data.download import NotThereError, UnreachableError, fetch, sha256
from resnet.errors import DataError, UsageError

AUTHORS_SITE = "https://www.cs.toronto.edu/~kriz/"
DATASETS = ("cifar-10", "cifar-100")

FLAGS = flags.FLAGS


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_list("datasets", list(DATASETS), "Data sets to build, or none.")
    flags.DEFINE_string(
        "source", AUTHORS_SITE, "Base URL, or a local folder or archive, to take them from."
    )
    flags.DEFINE_string("data_root", "./data", "Folder of the data sets.")
    flags.DEFINE_boolean(
        "verify_checksum", True, "Refuse archives whose SHA-256 is not the published one."
    )
    flags.DEFINE_boolean(
        "if_reachable", False, "Say what is missing and succeed if the source has no answer."
    )


def main():
    """Builds every data set asked for; returns the exit code."""
    names = [name for name in FLAGS.datasets if name != "none"]
    if not FLAGS["datasets"].present and pathlib.Path(FLAGS.source).is_file():
        held = {a.dataset for a in ARCHIVES if a.file_name == pathlib.Path(FLAGS.source).name}
        names = [name for name in names if name in held] or names
    for name in names:
        if name not in DATASETS:
            raise UsageError(
                f"unknown data set {name!r} in --datasets: choose from {', '.join(DATASETS)}, none"
            )
    root = pathlib.Path(FLAGS.data_root)
    missing = [name for name in names if not has_records(root / name)]
    for name in names:
        if name not in missing:
            print(f"{name}: {root / name} is complete", flush=True)
    try:
        for name in missing:
            build(name, root, FLAGS.source, FLAGS.verify_checksum)
    except UnreachableError as error:
        if not FLAGS.if_reachable:
            raise
        still = [name for name in missing if not has_records(root / name)]
        print(
            f"notice: {' '.join(str(error).split())}\n"
            f"notice: still missing: {', '.join(still)}. Fetch later with ./setup.sh --datasets "
            f"{','.join(still)}, or from elsewhere with --source FOLDER|ARCHIVE|URL.\n"
            "notice: the embedded data set works without: "
            "./run_cifar_train.py --dataset synthetic"
        )


def build(name, root, source, verify):
    """Makes the TFRecords of one data set.

    Args:
      name: "cifar-10" or "cifar-100".
      root: data folder; the records become root/NAME.
      source: base URL, local folder or local archive.
      verify: whether an archive's SHA-256 must be the published one.

    Raises:
      DataError: not found, not reachable, wrong checksum or damaged.
    """
    archive, path = _locate(name, root, source, verify)
    if not verify:
        print(f"{name}: checksum of {path.name} not verified", flush=True)
    elif path.is_dir():
        print(f"{name}: {path} is extracted, so that no published checksum applies", flush=True)
    print(f"{name}: reading {path}", flush=True)
    write_records(read_archive(archive, path), root / name)


def _locate(name, root, source, verify):
    """(Archive, local path) of a data set's archive, fetched if need be, verified."""
    if "://" in source:
        return _fetched(name, root, source, verify)
    path = pathlib.Path(source)
    if not path.exists():
        raise DataError(f"--source {source} does not exist: give a folder, an archive or a URL")
    wanted = " or ".join(archive.file_name for archive in archives_of(name))
    if path.is_dir():
        found = find_archive(path, name)
    else:
        found = next(((a, path) for a in archives_of(name) if path.name == a.file_name), None)
    if found is None:
        raise DataError(
            f"{name} is not in --source {source}, which should be or hold {wanted}. "
            "Give another place, or the data sets that it holds with --datasets"
        )
    archive, path = found
    if verify and path.is_file():
        _require_published(archive, path, str(path))
    return archive, path


def _fetched(name, root, source, verify):
    folder = root / DOWNLOADS
    for archive in archives_of(name):
        path = folder / archive.file_name
        if path.is_file() and (not verify or sha256(path) == archive.sha256):
            return archive, path
    for archive in archives_of(name):
        url = f"{source.rstrip('/')}/{archive.file_name}"

        def check(path, archive=archive, url=url):
            if verify:
                _require_published(archive, path, url)

        try:
            fetch(url, folder / archive.file_name, check)
            return archive, folder / archive.file_name
        except NotThereError as error:
            refusal = error
    raise DataError(f"{refusal}. Give another place with --source")


def _require_published(archive, path, place):
    found = sha256(path)
    if found != archive.sha256:
        raise DataError(
            f"{place} has SHA-256 {found}, but the published one is {archive.sha256}. Take it "
            "from elsewhere with --source, or, if you trust it, pass --no-verify-checksum"
        )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
