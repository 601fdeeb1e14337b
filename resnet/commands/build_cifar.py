"""Fetches CIFAR-10 and CIFAR-100, verifies them and writes TFRecords.

    resnet build-cifar --datasets cifar-10,cifar-100 --data_root ./data

What is there already is not done again. ./setup.sh calls this.
"""

import pathlib

from resnet.data.registry import CIFAR, FETCHED
from resnet.errors import UsageError
from resnet.hints import build_hint, synthetic_hint

ELSEWHERE = "another place with --source FOLDER|ARCHIVE|URL"


def define_flags(flags):
    """Defines the command's flags."""
    flags.list("Data", "datasets", f"Of {', '.join(FETCHED)}; or none.", FETCHED)
    flags.text(
        "Data",
        "source",
        "Base URL, a local folder (extracted ones in it come first), or an archive.",
        default_text="the authors' site",
    )
    flags.text("Data", "data_root", "Folder of the data sets.", "./data")
    flags.switch(
        "Data", "verify_checksum", "Refuse archives whose SHA-256 is not the published one.", True
    )
    flags.switch(
        "Data", "if_reachable", "Say what is missing and succeed if the source has no answer."
    )


def main(flags):
    """Builds every data set asked for."""
    from resnet.data.cifar.build import build
    from resnet.data.cifar.records import has_records
    from resnet.data.download import UnreachableError

    names = _names(flags)
    root = pathlib.Path(flags.data_root)
    missing = [name for name in names if not has_records(root / name)]
    for name in names:
        if name not in missing:
            print(f"{name}: {root / name} is complete", flush=True)
    try:
        for name in missing:
            build(name, root, flags.source, flags.verify_checksum)
    except UnreachableError as error:
        if not flags.if_reachable:
            raise UnreachableError(f"{error}. Or give {ELSEWHERE}") from None
        still = [name for name in missing if not has_records(root / name)]
        print(
            f"notice: {' '.join(str(error).split())}\n"
            f"notice: still missing: {', '.join(still)}. Fetch later with "
            f"{build_hint(','.join(still), root)}, or give {ELSEWHERE}.\n"
            f"notice: the embedded data set works without: {synthetic_hint()}"
        )


def _names(flags):
    """The data sets asked for; by default, those that a given archive holds."""
    given = dict.fromkeys(name.strip() for name in flags.datasets)  # each once
    names = [name for name in given if name != "none"]
    if flags.source and not flags.is_given("datasets") and pathlib.Path(flags.source).is_file():
        file_name = pathlib.Path(flags.source).name
        held = {n for n in FETCHED for a in CIFAR[n].archives if a.file_name == file_name}
        names = [name for name in names if name in held] or names
    for name in names:
        if name not in FETCHED:
            raise UsageError(
                f"unknown data set {name!r} in --datasets: choose from {', '.join(FETCHED)}, none"
            )
    return names
