"""TrivialAugment against Pillow, image by image."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from resnet.data.trivial_augment import CHANGES, draw_trivial, trivial_augment

SIZE = 16
NAMES = list(CHANGES)
STRENGTHS = np.array([0, 0.1, 0.5, 1, -0.1, -0.5, -1], np.float32)


def pictures():
    """(7, 16, 16, 3) uint8: smooth ones, noise, and one of a single colour."""
    rng = np.random.default_rng(0)
    smooth = [
        np.asarray(Image.fromarray(rng.integers(40, 220, [3, 3, 3], np.uint8)).resize((SIZE, SIZE)))
        for _ in range(5)
    ]
    noise = rng.integers(0, 256, [SIZE, SIZE, 3], np.uint8)
    return np.stack([*smooth, noise, np.full_like(noise, 77)])


def enhanced(kind, image, strength):
    return kind(image).enhance(1 + 0.99 * strength)


def solarized(image, strength):
    pixels = np.asarray(image)
    return Image.fromarray(np.where(pixels >= 255 * (1 - abs(strength)), 255 - pixels, pixels))


# What Pillow makes of an image.
COLOURS = {
    "identity": lambda image, s: image,
    "auto_contrast": lambda image, s: ImageOps.autocontrast(image),
    "equalize": lambda image, s: ImageOps.equalize(image),
    "posterize": lambda image, s: ImageOps.posterize(image, 8 - round(6 * abs(float(s)))),
    "solarize": solarized,
    "color": lambda image, s: enhanced(ImageEnhance.Color, image, s),
    "contrast": lambda image, s: enhanced(ImageEnhance.Contrast, image, s),
    "brightness": lambda image, s: enhanced(ImageEnhance.Brightness, image, s),
    "sharpness": lambda image, s: enhanced(ImageEnhance.Sharpness, image, s),
}


def moves(x, y, s):
    """Where each geometric change takes the pixel (x, y) of its result from."""
    angle, middle = math.radians(135) * s, (SIZE - 1) / 2
    u, v = x - middle, y - middle
    cos, sin, pixels = math.cos(angle), math.sin(angle), round(32 * s)
    return {
        "rotate": (cos * u + sin * v + middle, -sin * u + cos * v + middle),
        "shear_x": (x + 0.99 * s * (y + 0.5), y),
        "shear_y": (x, y + 0.99 * s * (x + 0.5)),
        "translate_x": (x + pixels, y),
        "translate_y": (x, y + pixels),
    }


def changed(images, name, strengths):
    return trivial_augment(images, np.full(len(images), NAMES.index(name)), strengths).numpy()


@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_pillows(name):
    images = pictures()
    for strength in STRENGTHS:
        found = changed(images, name, np.full(len(images), strength)).astype(int)
        for i, image in enumerate(images):
            wanted = np.asarray(COLOURS[name](Image.fromarray(image), float(strength)), int)
            # Pillow cuts fractions off where it blends.
            assert abs(found[i] - wanted).max() <= 1, (strength, i)
        if name not in ("identity", "auto_contrast", "equalize") and strength:
            assert not np.array_equal(found, images)


def test_the_smoothed_image_is_pillows():
    image = pictures()[5]
    found = changed(image[None], "sharpness", np.float32([-1 / 0.99]))[0].astype(int)
    wanted = np.asarray(Image.fromarray(image).filter(ImageFilter.SMOOTH), int)
    assert abs(found - wanted).max() <= 1


@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_geometry_takes_the_nearest_pixel(name):
    images = pictures()
    found = changed(images, name, STRENGTHS)
    for image, strength, moved in zip(images, STRENGTHS, found, strict=True):
        wrong = 0
        for y in range(SIZE):
            for x in range(SIZE):
                u, v = (round(value) for value in moves(x, y, float(strength))[name])
                inside = 0 <= u < SIZE and 0 <= v < SIZE
                wrong += not np.array_equal(moved[y, x], image[v, u] if inside else [0, 0, 0])
        assert wrong <= 6, (strength, wrong)  # halves may go either way


@pytest.mark.parametrize("name", ["shear_x", "shear_y"])
def test_shears_are_pillows(name):
    images = pictures()
    for strength in (0.3, -0.7):
        shear = 0.99 * strength
        matrix = (1, shear, 0, 0, 1, 0) if name == "shear_x" else (1, 0, 0, shear, 1, 0)
        for image, found in zip(
            images, changed(images, name, np.full(7, strength, np.float32)), strict=True
        ):
            wanted = Image.fromarray(image).transform((SIZE, SIZE), Image.Transform.AFFINE, matrix)
            assert (found != np.asarray(wanted)).any(axis=-1).sum() <= 3


def test_another_image_format_of_keras_changes_nothing():
    images, before = pictures(), keras.config.image_data_format()
    found = []
    for form in ("channels_last", "channels_first"):
        try:
            keras.config.set_image_data_format(form)
            found.append(changed(images, "shear_x", STRENGTHS))
        finally:
            keras.config.set_image_data_format(before)
    np.testing.assert_array_equal(*found)


def test_each_image_has_its_own_change():
    images = np.repeat(pictures()[:1], len(NAMES), axis=0)
    strengths = np.full(len(NAMES), 0.3, np.float32)
    found = trivial_augment(images, np.arange(len(NAMES)), strengths).numpy()
    assert found.dtype == np.uint8
    for i, name in enumerate(NAMES):
        np.testing.assert_array_equal(found[i], changed(images[:1], name, strengths[:1])[0])


def test_what_is_drawn():
    changes, strengths = (x.numpy() for x in draw_trivial(20_000, tf.constant([3, 4], tf.int64)))
    counts = np.bincount(changes, minlength=14)
    assert len(counts) == 14 and abs(counts - 20_000 / 14).max() < 200
    levels, counts = np.unique(np.round(abs(strengths) * 30).astype(int), return_counts=True)
    assert list(levels) == list(range(31)) and abs(counts - 20_000 / 31).max() < 150
    assert abs((strengths < 0).mean() - 15 / 31) < 0.02  # -0 is none
    assert abs(np.corrcoef(changes, strengths)[0, 1]) < 0.03
    again, other = (draw_trivial(9, tf.constant([3, step], tf.int64))[0] for step in (4, 5))
    assert not np.array_equal(again, other)
