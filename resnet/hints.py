"""What to run next, for those who have a checkout and for those who installed the package."""

import pathlib
import shlex
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
IS_CHECKOUT = (CHECKOUT / "setup.sh").is_file()


def build_hint(dataset: str, folder: str | pathlib.Path = "data") -> str:
    """The command that fetches and builds a CIFAR data set.

    Args:
      dataset: its name.
      folder: what the data sets lie in.
    """
    start = "./setup.sh" if IS_CHECKOUT else "resnet build-cifar"
    own = pathlib.Path(folder) in (pathlib.Path("data"), CHECKOUT / "data")
    return f"{start} --datasets {dataset}" + (
        "" if own else f" --data_root {shlex.quote(str(folder))}"
    )


def imagenet_hint() -> str:
    """The command that builds ImageNet's shards."""
    start = "./setup.sh --imagenet" if IS_CHECKOUT else "resnet build-imagenet --raw_dir"
    return f"{start} RAW_DIR"


def synthetic_hint() -> str:
    """The command that trains on the embedded data set."""
    start = "./run_cifar_train.py" if IS_CHECKOUT else "resnet train-cifar"
    return f"{start} --dataset synthetic"


def unverified_hint() -> str:
    """The flag that lets an archive count whose checksum is not the published one."""
    return "--no-verify-checksum" if IS_CHECKOUT else "--noverify_checksum"


def install_hint() -> str:
    """How to get TensorFlow. The package is on no index: it is installed from its clone."""
    own = CHECKOUT / ".venv" / "bin" / "python"
    if own.exists() and pathlib.Path(sys.prefix) != CHECKOUT / ".venv":
        return f"run {own} instead of {sys.executable}"
    start = "./setup.sh first, or " if IS_CHECKOUT else ""
    return f"run {start}{sys.executable} -m pip install '.[cpu]' (or '.[gpu]') in the clone"


def extra_hint(package: str) -> str:
    """How to get a package that only some commands need."""
    return f"{sys.executable} -m pip install {package}"
