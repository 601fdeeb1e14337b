"""Fetches files: a download is complete and verified, or it is not there."""

import hashlib
import pathlib
import shutil
import urllib.error
import urllib.request

from tqdm import tqdm

from resnet.errors import DataError
from resnet.files import written_beside

TIMEOUT_SECONDS = 10  # without an answer, or between two pieces of one
CHUNK_BYTES = 1 << 20


class UnreachableError(DataError):
    """The site cannot be reached at all."""


class NotThereError(DataError):
    """The site answers, but has no such file."""


def fetch(url, path):
    """Downloads a file with a progress bar.

    Args:
      url: http, https, ftp or file address.
      path: where to; written beside and renamed once it is complete.

    Raises:
      NotThereError, UnreachableError, DataError: not found, no answer, cut short.
    """
    path = pathlib.Path(path)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            total = int(response.headers.get("Content-Length") or 0) or None
            with written_beside(path) as temporary:
                count = _copy(response, temporary, total, path.name)
                if total and count != total:
                    raise DataError(
                        f"{url} ended after {count} of {total} bytes. Run ./setup.sh again"
                    )
    except urllib.error.HTTPError as error:
        raise NotThereError(f"{url} answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise UnreachableError(f"{url} cannot be reached: {_reason(error)}") from None
    except ValueError as error:
        raise DataError(f"{url} is no address that can be fetched: {error}") from None


def _copy(response, temporary, total, name):
    count = 0
    with (
        open(temporary, "wb") as file,
        tqdm(total=total, desc=name, unit="B", unit_scale=True) as progress,
    ):
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            count += len(chunk)
            progress.update(len(chunk))
    return count


def _reason(error):
    return str(getattr(error, "reason", error)) or type(error).__name__


def copy_file(source, path):
    """Copies a local file, all or nothing."""
    with written_beside(path) as temporary:
        shutil.copyfile(source, temporary)


def sha256(path):
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
