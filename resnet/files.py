"""Files that are either complete or not there: written beside, then renamed."""

import contextlib
import json
import os
import pathlib
import shutil

from resnet.errors import UserError


@contextlib.contextmanager
def written_beside(path):
    """Yields a temporary path next to `path`; renames it to `path` on success.

    Works for a file or a folder that the caller makes at the temporary path. On
    failure the temporary is removed and `path` is as it was.

    Raises:
      UserError: the disk is full or the folder cannot be written.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. "
            "Free some space or choose another folder; what was there is unchanged"
        ) from error
    finally:
        remove(temporary)


def remove(path):
    """Removes a file or folder if it is there."""
    path = pathlib.Path(path)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path, text):
    """Writes a text file, all or nothing."""
    with written_beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, content):
    """Writes a JSON file, all or nothing."""
    write_text(path, json.dumps(content, indent=2) + "\n")
