"""TFRecords of a data set's published archive: found or fetched, verified, converted."""

import pathlib

from resnet.data.cifar.archives import archives_of, find_archive, read_archive
from resnet.data.cifar.input import DOWNLOADS
from resnet.data.cifar.records import write_records
from resnet.data.download import NotThereError, fetch, sha256
from resnet.data.registry import CIFAR
from resnet.errors import DataError
from resnet.files import remove
from resnet.hints import unverified_hint
from resnet.ownership import owned


def build(
    name: str, root: str | pathlib.Path, source: str | None = None, verify: bool = True
) -> None:
    """Makes the TFRecords of one data set.

    Args:
      name: one of registry.FETCHED.
      root: data folder; the records become root/NAME.
      source: base URL, local folder or local archive; default: its authors' site.
      verify: whether an archive's SHA-256 must be the published one.

    Raises:
      UnreachableError: the source has no answer.
      DataError: not found, wrong checksum or damaged.
    """
    root = pathlib.Path(root)
    with owned(root / name):
        _require_room(root / name)
        _build(name, root, str(source or CIFAR[name].site), verify)


def _require_room(folder):
    """Checks that records can be put into a folder's place, before anything is fetched."""
    if not (folder.is_symlink() or folder.exists()):
        return
    if folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()):
        raise DataError(
            f"{folder} is there, but is no data set that was built: move it away, or give another "
            "folder with --data_root"
        )


def _build(name, root, source, verify):
    there = {path.name for path in (root / DOWNLOADS).glob("*")}
    archive, path = _locate(name, root, source, verify)
    if not verify:
        print(f"{name}: checksum of {path.name} not verified", flush=True)
    elif path.is_dir():
        print(f"{name}: {path} is extracted, so that no published checksum applies", flush=True)
    print(f"{name}: reading {path}", flush=True)
    try:
        dataset = read_archive(archive, path)
    except DataError:
        # Fetched now, it would be taken for good every time.
        if _is_url(source) and not verify and path.name not in there:
            remove(path)
            print(f"{name}: {path} is removed", flush=True)
        raise
    write_records(dataset, root / name)


def _is_url(source):
    return "://" in source


def _locate(name, root, source, verify):
    """(Archive, local path) of a data set's archive, fetched if need be, verified."""
    if _is_url(source):
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
            "from elsewhere with --source, or, if you trust it, pass " + unverified_hint()
        )
