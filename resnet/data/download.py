"""Fetches files: a download is complete and verified, or it is not there.

What a broken download has fetched is kept beside, with what identifies the file on its server, and
the next try goes on from there if the server says that the file is the same.
"""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import queue
import re
import threading
import time
import urllib.error
import urllib.request

from tqdm import tqdm

from resnet.errors import DataError, UserError, remedy_of
from resnet.files import remove, write_json, written_beside

TIMEOUT_SECONDS = 10  # without a byte
ANSWER_SECONDS = 60  # until a server has said what it sends, redirects and all
CHUNK_BYTES = 1 << 20
LARGEST_BYTES = 2**31  # of a file
LONGEST_SECONDS = 6 * 3600
SLOWEST, WINDOW_SECONDS = 5_000, 60  # bytes a second, over so many seconds


class UnreachableError(DataError):
    """The site cannot be reached at all."""


class NotThereError(DataError):
    """The site answers, but has no such file."""


def fetch(url, path, check):
    """Downloads a file with a progress bar.

    Args:
      url: http, https, ftp or file address.
      path: where to; it is there once it is complete. Until then, NAME.download and
        NAME.download.json lie beside it, if its server can go on with a broken download.
      check: called with the temporary path; what it raises keeps the file out.

    Raises:
      NotThereError: the site has no such file.
      UnreachableError: no answer, a refusal, or a download that was cut short or is too slow.
      DataError: no address that could be fetched; a file that is too large; a redirect from https
        to plain http, or to what is neither.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.name}.download")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        response, start = _answer(url, partial)
        with response:
            total = _length(response, url, start)
            if not start:  # or what is there would count as a part of this file
                remove(partial)
            _record(url, response, partial)
            count = _copy(response, url, partial, start, total, path.name)
        if total and count != total:
            raise UnreachableError(f"{url} ended after {count} of {total} bytes. Try again")
        with written_beside(path) as temporary:
            os.replace(partial, temporary)
            remove(_state(partial))
            check(temporary)
    except urllib.error.HTTPError as error:
        error.close()  # it is the answer, too
        kind = NotThereError if error.code in (404, 410) else UnreachableError
        raise kind(f"{url} answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise UnreachableError(f"{url} cannot be reached: {_reason(error)}") from None
    except (ValueError, http.client.HTTPException) as error:
        raise DataError(f"{url} is no address that can be fetched: {error}") from None
    except OSError as error:
        remedy = remedy_of(error) or "free some space, or choose another path"
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. {remedy.capitalize()}"
        ) from None
    finally:
        if not _state(partial).exists():  # nothing would say what it is a part of
            remove(partial)


# ------------------------------------------------------------------ the server's answer


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects over http and https, never from https to http; urllib refuses file:."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """The request to follow with."""
        fp.close()  # or urllib would read all that comes with it
        before, after = req.type, urllib.request.Request(newurl).type
        if after not in ("http", "https") or (before, after) == ("https", "http"):
            raise DataError(
                f"{req.full_url} redirects to {newurl}, which is refused: {after} is less safe "
                f"than {before}. Give another place with --source"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _answer(url, partial):
    """(response, the byte of the file that it begins at): the rest of what is there of it, or all.

    Raises:
      What `_open` does.
    """
    start, validator = _kept(url, partial)
    if start:
        try:
            response = _open(url, start, validator)
        except urllib.error.HTTPError as error:
            if error.code != 416:  # it has no such byte
                raise
            error.close()
        else:
            if response.status != 206:  # it is another file by now, or comes whole always
                return response, 0
            if _is_rest(response, start, validator):
                return response, start
            response.close()
        _forget(partial)
    return _open(url), 0


def _is_rest(response, start, validator):
    """Whether a part of a file is what was asked for; a server may not know If-Range."""
    span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return span and int(span[1]) == start and _validator(response) in (None, validator)


def _open(url, start=0, validator=None):
    """The response to a request for a file, from its byte `start` on if it is still the same.

    Raises:
      What urllib does; TimeoutError: there is no whole answer in time.
    """
    request = urllib.request.Request(url)
    if start:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", validator)
    opener = urllib.request.build_opener(_Redirects)
    found = queue.Queue()

    def ask():
        try:
            found.put(opener.open(request, timeout=TIMEOUT_SECONDS))
        except BaseException as error:
            found.put(error)

    # In a thread: headers that drip in would each be in time, and have no end.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = found.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no whole answer in {ANSWER_SECONDS} s") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _length(response, url, start):
    """Bytes of the whole file; None if the server does not say."""
    rest = int(response.headers.get("Content-Length") or 0)
    if rest + start > LARGEST_BYTES:
        raise _too_large(url, rest + start)
    return rest + start if rest > 0 else None


def _too_large(url, size):
    return DataError(
        f"{url} has {size:,} bytes or more, but {LARGEST_BYTES:,} at most are fetched: is it the "
        "right file? Fetch it by hand, and give its place with --source"
    )


# ------------------------------------------------------- what a broken download has left


def _state(partial):
    """Where it is written of which file on which server a part is."""
    return partial.with_name(f"{partial.name}.json")


def _record(url, response, partial):
    """Writes down what a part is of, if the server gives something to know the file again by."""
    validator = _validator(response)
    if validator and getattr(response, "status", None) in (200, 206):
        write_json(_state(partial), {"url": url, "validator": validator})
    else:
        remove(_state(partial))


def _validator(response):
    """What a file is known by, for If-Range; None if the server says nothing that would do."""
    tag = response.headers.get("ETag") or ""
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")  # no weak ETag


def _kept(url, partial):
    """(bytes that are there of a file, what it is known by); (0, None) if nothing is of use."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        state = json.loads(_state(partial).read_text(encoding="utf-8"))
        validator = state["validator"]
        if state["url"] == url and isinstance(validator, str) and validator.isprintable():
            return partial.stat().st_size, validator
    _forget(partial)
    return 0, None


def _forget(partial):
    remove(partial)
    remove(_state(partial))


# ------------------------------------------------------------------------ its content


def _copy(response, url, partial, start, total, name):
    """Adds what is sent to a part, or begins it anew; returns how many bytes it has then."""
    count, began = start, time.monotonic()
    mark, marked = count, began
    with (
        open(partial, "r+b" if start else "wb") as file,
        tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True) as progress,
    ):
        file.seek(start)
        file.truncate()
        while chunk := _read(response, total):
            file.write(chunk)
            count += len(chunk)
            progress.update(len(chunk))
            if count > LARGEST_BYTES:
                _forget(partial)
                raise _too_large(url, count)
            now = time.monotonic()
            if now - marked >= WINDOW_SECONDS:
                if (count - mark) / (now - marked) < SLOWEST:
                    raise UnreachableError(
                        f"{url} sends {(count - mark) / (now - marked):,.0f} bytes a second, less "
                        f"than {SLOWEST:,}. Try again, or give another place with --source"
                    )
                mark, marked = count, now
            if now - began > LONGEST_SECONDS:
                raise UnreachableError(
                    f"{url} has not come to its end in {LONGEST_SECONDS / 3600:g} hours. Try "
                    "again, or give another place with --source"
                )
    return count


def _read(response, total):
    try:
        return response.read1(CHUNK_BYTES)  # what is there: read() would wait for all of it
    except http.client.IncompleteRead as error:
        if total:
            return error.partial  # the count tells
        raise UnreachableError(f"{response.url} broke off. Try again") from None
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
