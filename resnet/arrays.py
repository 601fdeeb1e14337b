"""Small arrays in files, .npy with a checksum at the end, which np.load does not mind."""

import io
import pathlib
import zlib

import numpy as np

from resnet.errors import UserError
from resnet.files import written_beside

MARK = b"crc:"  # and 4 bytes


def save_array(path: pathlib.Path, array: np.ndarray) -> None:
    """Writes an array, all or nothing."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    content = buffer.getvalue()
    with written_beside(path) as temporary:
        temporary.write_bytes(content + MARK + zlib.crc32(content).to_bytes(4, "little"))


def load_array(path: pathlib.Path) -> np.ndarray:
    """The array of a file, of finite numbers.

    Raises:
      UserError: the file is damaged.
    """
    content = path.read_bytes()
    try:
        if content[-8:-4] == MARK:
            content, found = content[:-8], content[-4:]
            if zlib.crc32(content).to_bytes(4, "little") != found:
                raise ValueError("its checksum is another")
        array = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            raise ValueError("it holds no array of floats")
        if not np.isfinite(array).all():
            raise ValueError("a value is not finite")
    except Exception as error:  # NumPy's reader has many
        raise UserError(f"{path} is damaged ({error}). Remove it to compute it anew") from None
    return array
