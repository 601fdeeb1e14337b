"""Image files of every kind, and those that claim to be what they are not."""

import os

import numpy as np
import pytest
from PIL import Image

import resnet
from images import claiming, encoded, picture
from resnet.data.folder.read import read_folder
from resnet.data.photos import load_photo
from resnet.errors import DataError

FORMS = ("PNG", "BMP", "GIF", "JPEG", "WEBP")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(60_000, 60_000), (13_400, 13_400)])
def test_an_image_that_claims_too_much_is_refused_by_its_header(tmp_path, form, size, monkeypatch):
    """Just above the limit, too; nothing of it is decoded."""
    size = tuple(min(side, 16_383) for side in size) if form == "WEBP" else size
    path = tmp_path / f"bomb.{form.lower()}"
    path.write_bytes(claiming(form, *size))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    message = r"bomb\.\w+' is too large: Image size .\d+ pixels.*Shrink it to 178,956,970 pixels"
    with pytest.raises(DataError, match=message):
        load_photo(path, 8)


@pytest.mark.parametrize("form", FORMS)
def test_an_image_that_is_cut_short_or_has_no_size(tmp_path, form):
    path = tmp_path / "picture"
    whole = encoded(picture(1), form)
    contents = [b"", whole[:10], whole[: len(whole) // 3], claiming(form, 0, 10)]
    for content in contents[: 3 if form == "GIF" else 4]:  # a GIF's images have sizes of their own
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"picture' (is no image|cannot be read)"):
            load_photo(path, 8)


def test_what_is_no_file_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.setattr(Image, "open", lambda _: pytest.fail("opened"))
    with pytest.raises(DataError, match=r"pipe.png' is no file"):
        load_photo(tmp_path / "pipe.png", 8)


def test_a_program_is_not_run(tmp_path):
    """Pillow would give an EPS file to Ghostscript."""
    path = tmp_path / "program.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(DataError, match=r"program.jpg' is no image in a known format"):
        load_photo(path, 8)


def test_every_kind_of_colour_and_a_wrong_name(tmp_path):
    path, original = tmp_path / "picture.png", picture(1)  # whatever it is, by name a PNG
    grey = np.asarray(original.convert("L")).astype(np.uint16) * 257
    wanted = np.asarray(original.convert("L").convert("RGB")).astype(int)
    for content in (encoded(Image.fromarray(grey), "PNG"), encoded(original.convert("L"), "BMP")):
        path.write_bytes(content)
        pixels, size = load_photo(path, 40)
        assert size == (50, 40)
        np.testing.assert_array_equal(pixels, wanted[:, 5:45])
    for mode, form in (("CMYK", "JPEG"), ("P", "GIF"), ("LA", "PNG"), ("RGBA", "WEBP")):
        path.write_bytes(encoded(original.convert(mode), form))
        assert load_photo(path, 40)[0].shape == (40, 40, 3)


def test_values_of_no_known_range(tmp_path):
    path = tmp_path / "picture.tif"
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(path)
    with pytest.raises(DataError, match="cannot be read: its values are floating-point numbers"):
        load_photo(path, 8)
    Image.fromarray(np.arange(64, dtype=np.int32).reshape(8, 8)).save(path)
    with pytest.raises(
        DataError, match="cannot be read: its values are integers of no known range"
    ):
        load_photo(path, 8)
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    for name in ("grey.png", "grey.pgm", "grey.tif"):
        Image.fromarray(values).save(tmp_path / name)
        found = load_photo(tmp_path / name, 8)[0]
        np.testing.assert_allclose(found[..., 0], values / 257, atol=0.5)


def test_the_first_picture_of_an_animation_counts(tmp_path):
    path, first = tmp_path / "animation.gif", picture(1, (8, 8))
    first.save(path, save_all=True, append_images=[picture(2, (8, 8))] * 2)
    found = load_photo(path, 8)[0].astype(int)
    assert abs(found - np.asarray(first)).mean() < 12


def test_folders_of_own_images_name_it(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            picture(i, (8, 8)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "a" / "bomb.png").write_bytes(claiming("PNG", 20_000, 20_000))
    with pytest.raises(DataError, match=r"1 file cannot be read, .*bomb.png' is too large"):
        read_folder(tmp_path, 8, strict=True)


def test_the_pixels_of_a_file_by_the_packages_own_name(tmp_path):
    image = picture(1, (12, 8))
    image.save(tmp_path / "one.png")
    pixels = resnet.read_photo(tmp_path / "one.png", 8)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(image)[:, 2:10])
