"""Image files of any size and format, as a network's pixels."""

import contextlib
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from resnet.errors import DataError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")  # of files that are looked for in folders
LARGEST_PIXELS = 178_956_970  # of an image, as its header says: Pillow refuses more
WITH_16_BITS = ("PNG", "PPM")  # formats whose 16 bits of grey Pillow may put into 32
# It warns from half of that on; telephones make such photos.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_photo(path: str | os.PathLike[str], size: int) -> np.ndarray:
    """The pixels alone of what `load_photo` returns."""
    return load_photo(path, size)[0]


def load_photo(path: str | os.PathLike[str], size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The middle square of an image file, and the whole's own size.

    It is shrunk or enlarged to the network's size, turned as its camera says, and laid on white
    where it is transparent. An image of that size keeps its pixels.

    Args:
      path: of a file in a format that Pillow reads.
      size: pixels a side.

    Returns:
      (pixels, (width, height)): (size, size, 3) uint8; of the file.

    Raises:
      DataError: it is not there, no image, cut short, or too large.
    """
    if not pathlib.Path(path).exists():
        raise DataError(f"no image {str(path)!r}: give the path of a file")
    if not pathlib.Path(path).is_file():  # a pipe would be waited for
        raise DataError(f"{str(path)!r} is no file: give the path of an image")
    image = _whole(path, str(path))
    return _middle_square(image, size), image.size


def whole_photo(file: str | os.PathLike[str] | IO[bytes], name: str) -> np.ndarray:
    """All of an image, turned as its camera says, and laid on white where it is transparent.

    Args:
      file, name: as of `open_photo`.

    Returns:
      (H, W, 3) uint8.

    Raises:
      DataError: as of `open_photo`.
    """
    return np.asarray(_whole(file, name), np.uint8)


def _whole(file: str | os.PathLike[str] | IO[bytes], name: str) -> Image.Image:
    with open_photo(file, name) as image:
        if image.mode == "I" and image.format not in WITH_16_BITS:
            raise ValueError("its values are integers of no known range, not 8 or 16 bits of grey")
        return _on_white(ImageOps.exif_transpose(image))


@contextlib.contextmanager
def open_photo(file: str | os.PathLike[str] | IO[bytes], name: str) -> Iterator[Image.Image]:
    """Yields an image whose header alone has been read: its size is that of a sane one.

    What goes wrong while it is used is an error of the file, too.

    Args:
      file: path or open file, in a format that Pillow reads.
      name: of the file, for messages.

    Raises:
      DataError: it is no image, cut short, or claims more than LARGEST_PIXELS.
    """
    try:
        with Image.open(file) as image:
            if image.format == "EPS":  # a program, which Ghostscript would run
                raise UnidentifiedImageError
            yield image
    except UnidentifiedImageError:
        raise DataError(f"{name!r} is no image in a known format, such as JPEG or PNG") from None
    except Image.DecompressionBombError as error:
        claim = str(error).rstrip(".")
        raise DataError(
            f"image {name!r} is too large: {claim}. Shrink it to {LARGEST_PIXELS:,} pixels at most"
        ) from None
    except Exception as error:  # Pillow's readers have many
        raise DataError(
            f"image {name!r} cannot be read: {str(error) or type(error).__name__}. Save it anew"
        ) from None


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """The middle square of an image in memory, as of `load_photo`.

    Args:
      pixels: (H, W, C) uint8: 1 channel of grey, 3 of colour, or 4 with transparency.
      size: pixels a side.

    Returns:
      (size, size, 3) uint8.

    Raises:
      DataError: it is no such array.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4):
        raise DataError(
            f"an image is {pixels.dtype} of shape {list(pixels.shape)}, but must be uint8 of 1, 3 "
            "or 4 channels: convert it"
        )
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return _middle_square(_on_white(image), size)


def _middle_square(image: Image.Image, size: int) -> np.ndarray:
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    """An image in red, green and blue.

    Raises:
      ValueError: its values are of no known range.
    """
    if image.mode == "F":
        raise ValueError("its values are floating-point numbers, of no known range")
    if image.mode.startswith("I;16") or image.mode == "I":  # 16 bits of grey
        values = np.asarray(image, np.float64) / 257
        image = Image.fromarray(np.clip(values.round(), 0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
