"""What recipes do to training images, against NumPy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from resnet.data import augmentation
from resnet.data.cifar import pipeline
from resnet.data.cifar.preparation import Preparation
from resnet.data.dataset import Split
from resnet.data.feed import Share
from resnet.data.trivial_augment import draw_trivial, trivial_augment
from resnet.settings import Recipe

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 256, [12, 8, 6, 3]).astype(np.uint8)
SPLIT = Split(IMAGES, np.arange(12, dtype=np.int32))
PLAIN = Preparation(0.0, 1.0, padding=0)
RECIPE = Recipe(flip="none", seed=3)


def seed(step=0):
    return tf.constant([3, step], tf.int64)


def batches(recipe, first=0, count=1, share=None, preparation=PLAIN):
    stream = pipeline.training_batches(SPLIT, preparation, recipe, first, share or Share(4))
    return list(stream.take(count).as_numpy_iterator())


def test_cutout_blanks_a_square_as_far_as_it_is_within():
    images = tf.constant(IMAGES[:3], tf.float32)
    centres = np.array([[0, 0], [4, 3], [7, 5]], np.int32)
    found = augmentation.cutout(images, tf.constant(centres), 4).numpy()
    wanted = IMAGES[:3].astype(np.float32)
    for image, (row, column) in zip(wanted, centres, strict=True):
        image[max(0, row - 2) : row + 2, max(0, column - 2) : column + 2] = 0
    np.testing.assert_array_equal(found, wanted)


def test_cutouts_are_anywhere_and_of_every_image_its_own():
    drawn = augmentation.draw_cutout(2_000, 8, 6, seed()).numpy()
    assert drawn.min(axis=0).tolist() == [0, 0] and drawn.max(axis=0).tolist() == [7, 5]
    counts = np.bincount(drawn[:, 0] * 6 + drawn[:, 1], minlength=48)
    assert counts.min() > 15 and counts.max() < 80  # 41.7 expected
    assert not np.array_equal(drawn, augmentation.draw_cutout(2_000, 8, 6, seed(1)))


def mixings(count=400, **alphas):
    alphas = {"mixup": 0.0, "cutmix": 0.0} | alphas
    draw = tf.function(lambda s: augmentation.draw_mix(**alphas, height=8, width=6, seed=s))
    return [[x.numpy() for x in draw(seed(step))] for step in range(count)]


def test_mixups_share_is_beta_and_the_same_everywhere():
    found = mixings(mixup=0.4)
    for weights, share in found:
        assert weights.shape == (8, 6, 1) and np.ptp(weights) == 0
        np.testing.assert_allclose(share, weights[0, 0, 0], rtol=1e-5)
    shares = np.array([share for _, share in found])
    # Of Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
    assert abs(shares.mean() - 0.5) < 0.06
    assert abs(shares.var() / (1 / (4 * 1.8)) - 1) < 0.15


def test_a_small_alpha_leaves_images_nearly_whole():
    shares = np.array([share for _, share in mixings(mixup=0.01)])
    assert np.isfinite(shares).all() and np.mean((shares > 0.1) & (shares < 0.9)) < 0.06


def test_cutmixs_box_is_what_the_share_says():
    found = mixings(cutmix=1.0)
    for weights, share in found:
        assert set(np.unique(weights)) <= {0, 1}
        np.testing.assert_allclose(share, weights.mean(), rtol=1e-6)
        rows, columns = np.nonzero(weights[..., 0] == 0)
        if rows.size:  # one whole box
            assert rows.size == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert len({share for _, share in found}) > 10


def test_with_both_either_is_taken_by_equal_chance():
    is_mixup = [0 < weights[0, 0, 0] < 1 for weights, _ in mixings(mixup=1.0, cutmix=1.0)]
    assert 0.4 < np.mean(is_mixup) < 0.6


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_steps_images_are_mixed_with_themselves_in_reverse(kind):
    plain, labels = batches(RECIPE, first=5)[0]
    mixed, found = batches(dataclasses.replace(RECIPE, **{kind: 0.8}), first=5)[0]
    weights, share = augmentation.draw_mix(
        **{"mixup": 0.0, "cutmix": 0.0} | {kind: 0.8}, height=8, width=6, seed=seed(5)
    )
    wanted = weights * plain + (1 - weights) * plain[::-1]
    np.testing.assert_allclose(mixed, wanted, rtol=1e-5)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.others, labels[::-1])
    np.testing.assert_allclose(found.share, np.full(4, share), rtol=1e-6)


ALL = Recipe(
    seed=3,
    flip="alternating",
    padding="reflect",
    trivial_augment=True,
    cutout=3,
    mixup=0.5,
    cutmix=0.5,
)


def test_a_steps_images_depend_on_seed_and_step_alone():
    """However many replicas and hosts share them, and wherever training begins."""
    preparation = Preparation(7.0, 2.0, padding=2)
    whole = batches(ALL, count=6, preparation=preparation)
    (again,) = batches(ALL, first=5, preparation=preparation)
    np.testing.assert_array_equal(again[0], whole[5][0])
    parts = [
        batches(ALL, first=4, count=2, share=Share(1, 2, 2, host), preparation=preparation)
        for host in (0, 1)
    ]
    found = [part for host in parts for part in host]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), whole[4][0])
    for field in ("labels", "others", "share"):
        joined = np.concatenate([getattr(y, field) for _, y in found])
        np.testing.assert_array_equal(joined, getattr(whole[4][1], field))
    other = batches(dataclasses.replace(ALL, seed=4), preparation=preparation)
    assert not np.array_equal(other[0][0], whole[0][0])


@pytest.mark.parametrize("pads_raw", [True, False])
def test_images_are_changed_before_they_are_prepared(pads_raw):
    preparation = Preparation(7.0, 2.0, padding=0, pads_raw=pads_raw)
    recipe = dataclasses.replace(RECIPE, trivial_augment=True)
    found, labels = batches(recipe, first=5, preparation=preparation)[0]
    changed = trivial_augment(IMAGES[labels], *draw_trivial(4, seed(5))).numpy()
    assert not np.array_equal(changed, IMAGES[labels])
    np.testing.assert_array_equal(found, (changed.astype(np.float32) - 7) / 2)


def test_alternating_flips_are_every_second_epoch():
    recipe = dataclasses.replace(RECIPE, flip="alternating")
    mirrored = {}  # {(epoch, label): whether it was mirrored}
    for step, (images, labels) in enumerate(batches(recipe, count=12)):
        for image, label in zip(images, labels, strict=True):
            own, flipped = (
                np.array_equal(image, x) for x in (IMAGES[label], IMAGES[label, :, ::-1])
            )
            assert own != flipped
            mirrored[step * 4 // 12, int(label)] = flipped
    for label in range(12):
        first = mirrored[0, label]
        assert [mirrored[epoch, label] for epoch in range(4)] == [first, not first] * 2
    assert 0 < sum(mirrored[0, label] for label in range(12)) < 12


def test_no_flip_and_reflected_borders():
    for images, labels in batches(RECIPE, count=3):
        np.testing.assert_array_equal(images, IMAGES[labels])
    top, left = tf.constant([0, 4]), tf.constant([3, 0])
    found = pipeline.augment(
        tf.constant(IMAGES[:2]), 2, top, left, tf.constant([False, True]), "reflect"
    ).numpy()
    padded = np.pad(IMAGES[:2], [[0, 0], [2, 2], [2, 2], [0, 0]], "reflect")
    np.testing.assert_array_equal(found[0], padded[0, :8, 3:9])
    np.testing.assert_array_equal(found[1], padded[1, 4:12, :6][:, ::-1])
