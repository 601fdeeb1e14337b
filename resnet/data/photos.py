"""Image files of any size and format, as a network's pixels."""

import os

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from resnet.errors import DataError


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
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            image = _on_white(image)
    except FileNotFoundError:
        raise DataError(f"no image {str(path)!r}: give the path of a file") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{str(path)!r} is no image in a known format, such as JPEG or PNG"
        ) from None
    except Image.DecompressionBombError as error:
        raise DataError(f"image {str(path)!r} is too large: {error}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"image {str(path)!r} cannot be read: {error}. Save it anew") from None
    return _middle_square(image, size), image.size


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """The middle square of an image in memory, as of `load_photo`.

    Args:
      pixels: (H, W, 3) or (H, W, 1) uint8.
      size: pixels a side.

    Returns:
      (size, size, 3) uint8.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return _middle_square(image.convert("RGB"), size)


def _middle_square(image: Image.Image, size: int) -> np.ndarray:
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    """An image in red, green and blue."""
    if image.mode.startswith("I;16") or image.mode == "I":  # 16 bits of grey
        values = np.asarray(image, np.float64) / 257
        image = Image.fromarray(np.clip(values.round(), 0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
