"""Fetches files: a download is complete and verified, or it is not there."""

import hashlib
import http.client
import pathlib
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


def fetch(url, path, check):
    """Downloads a file with a progress bar.

    Args:
      url: http, https, ftp or file address.
      path: where to; written beside and renamed once it is complete.
      check: called with the temporary path; what it raises keeps the file out.

    Raises:
      NotThereError: the site has no such file.
      UnreachableError: no answer, a refusal, or a download that was cut short.
      DataError: no address that could be fetched.
    """
    path = pathlib.Path(path)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            total = int(response.headers.get("Content-Length") or 0) or None
            with written_beside(path) as temporary:
                count = _copy(response, temporary, total, path.name)
                if total and count != total:
                    raise UnreachableError(f"{url} ended after {count} of {total} bytes. Try again")
                check(temporary)
    except urllib.error.HTTPError as error:
        error.close()  # it is the answer, too
        kind = NotThereError if error.code in (404, 410) else UnreachableError
        raise kind(f"{url} answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise UnreachableError(f"{url} cannot be reached: {_reason(error)}") from None
    except (ValueError, http.client.HTTPException) as error:
        raise DataError(f"{url} is no address that can be fetched: {error}") from None


def _copy(response, temporary, total, name):
    count = 0
    with (
        open(temporary, "wb") as file,
        tqdm(total=total, desc=name, unit="B", unit_scale=True) as progress,
    ):
        while chunk := _read(response):
            file.write(chunk)
            count += len(chunk)
            progress.update(len(chunk))
    return count


def _read(response):
    try:
        return response.read(CHUNK_BYTES)
    except http.client.IncompleteRead as error:
        return error.partial  # the count tells
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{response.url} broke off: {_reason(error)}") from None


def _reason(error):
    return str(getattr(error, "reason", error)) or type(error).__name__


def sha256(path):
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
