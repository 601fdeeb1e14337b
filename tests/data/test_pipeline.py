"""Batches: reproducible from (seed, step) alone, complete, and rightly augmented."""

import dataclasses
import time

import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.data.cifar import pipeline, synthetic
from resnet.data.cifar.input import cifar_feed, load_dataset, training_and_evaluation
from resnet.data.cifar.preparation import prepare_for
from resnet.data.dataset import Dataset, Split
from resnet.data.feed import Share
from resnet.data.registry import CIFAR
from resnet.errors import DataError
from resnet.settings import Recipe


@pytest.fixture(scope="module")
def split():
    images = np.random.default_rng(0).integers(0, 256, [70, 32, 32, 3], np.uint8)
    return Split(images, np.arange(70, dtype=np.int32) % 10)


def prepared_by_mean(split):
    return prepare_for("cifar", "cifar-10", lambda name: pipeline.mean_image(split))


def test_any_step_can_be_had_without_those_before_it(split):
    preparation = prepared_by_mean(split)
    batches = list(
        pipeline.training_batches(split, preparation, Recipe(seed=5), 0, Share(16)).take(9)
    )
    for step in (0, 4, 8):
        images, labels = next(
            iter(pipeline.training_batches(split, preparation, Recipe(seed=5), step, Share(16)))
        )
        np.testing.assert_array_equal(images, batches[step][0])
        np.testing.assert_array_equal(labels, batches[step][1])
    other = next(iter(pipeline.training_batches(split, preparation, Recipe(seed=6), 0, Share(16))))[
        0
    ]
    assert not np.array_equal(other, batches[0][0])


def test_replicas_and_hosts_share_the_images_of_one(split):
    preparation = prepared_by_mean(split)
    whole = list(
        pipeline.training_batches(split, preparation, Recipe(seed=5), 3, Share(16)).take(2)
    )
    hosts = [
        iter(pipeline.training_batches(split, preparation, Recipe(seed=5), 3, Share(4, 2, 2, host)))
        for host in (0, 1)
    ]
    for images, labels in whole:
        parts = [next(host) for host in hosts for _ in range(2)]
        np.testing.assert_array_equal(tf.concat([part for part, _ in parts], 0), images)
        np.testing.assert_array_equal(tf.concat([part for _, part in parts], 0), labels)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("num_images", [97, 600])
def test_few_images_are_shuffled_well(seed, num_images):
    kept = [
        np.sum(
            pipeline.training_indices(tf.constant(epoch, tf.int64), num_images, num_images, seed)
            == np.arange(num_images)
        )
        for epoch in range(20)
    ]
    assert np.mean(kept) < 4  # of a true shuffle: 1


def test_every_epoch_shows_every_image_once_in_a_new_order():
    orders = [
        np.concatenate([pipeline.training_indices(tf.constant(s, tf.int64), 16, 64, 3) for s in e])
        for e in (range(4), range(4, 8))
    ]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(64))
    assert not np.array_equal(*orders)


def test_two_steps_draw_different_augmentations_and_one_step_the_same():
    def drawn(step, seed):
        parts = pipeline.draw_augmentation(64, tf.constant(step, tf.int64), seed, 4)
        return np.stack([np.asarray(part, int) for part in parts])  # top, left, flip

    first = drawn(3, 7)
    np.testing.assert_array_equal(drawn(3, 7), first)
    for other in (drawn(4, 7), drawn(3, 8)):
        for of_first, of_other in zip(first, other, strict=True):
            assert (of_first != of_other).any()
    for one, two in ((0, 1), (0, 2), (1, 2)):  # nor does one of them tell another
        assert (first[one] % 2 != first[two] % 2).any()


def test_augmentation_is_a_crop_of_the_zero_padded_image_perhaps_flipped(split):
    images = tf.constant(split.images, tf.float32)
    drawn = pipeline.draw_augmentation(len(images), tf.constant(3, tf.int64), 1, 2)
    augmented = pipeline.augment(images, 2, *drawn).numpy()
    padded = np.pad(split.images.astype(np.float32), [(0, 0), (2, 2), (2, 2), (0, 0)])
    seen = set()
    for image, original in zip(augmented, padded, strict=True):
        found = [
            (y, x, flip)
            for y in range(5)
            for x in range(5)
            for flip in (1, -1)
            if np.array_equal(image, original[y : y + 32, x : x + 32][:, ::flip])
        ]
        assert len(found) == 1
        seen |= set(found)
    assert len({y for y, _, _ in seen}) == len({x for _, x, _ in seen}) == 5
    assert {flip for *_, flip in seen} == {1, -1}


def test_mean_and_evaluation_batches(split):
    mean = pipeline.mean_image(split)
    np.testing.assert_allclose(mean, split.images.mean(axis=0), rtol=1e-6)
    batches = list(pipeline.evaluation_batches(split, prepared_by_mean(split), 32))
    assert [len(labels) for _, labels in batches] == [32, 32, 6]
    images = np.concatenate([images for images, _ in batches])
    np.testing.assert_allclose(images, split.images - mean, atol=1e-4)


def test_standard_images_are_crops_of_black_padded_ones_per_channel(split):
    preparation = prepare_for("cifar-standard", "cifar-10", statistic=None)
    mean, deviation = (np.array(x) for x in CIFAR["cifar-10"].channels)
    (evaluated, labels), *_ = pipeline.evaluation_batches(split, preparation, 70)
    wanted = (split.images / 255 - mean) / deviation
    np.testing.assert_allclose(evaluated, wanted, atol=1e-5)
    trained, trained_labels = next(
        iter(pipeline.training_batches(split, preparation, Recipe(seed=5), 0, Share(16)))
    )
    black = [[4, 4], [4, 4], [0, 0]]
    for image, label in zip(trained.numpy(), trained_labels.numpy(), strict=True):
        assert any(
            np.abs(image - crop[y : y + 32, x : x + 32]).max() < 1e-5
            for i in np.flatnonzero(labels.numpy() == label)
            for flipped in (split.images[i], split.images[i][:, ::-1])
            for crop in [(np.pad(flipped, black) / 255 - mean) / deviation]
            for y in range(9)
            for x in range(9)
        )


def test_unit_images_are_in_0_to_1(split):
    preparation = prepare_for("cifar-unit", "cifar-10", statistic=None)
    (images, _), *_ = pipeline.evaluation_batches(split, preparation, 70)
    np.testing.assert_allclose(images, split.images / 255, atol=1e-6)


def test_channel_statistics_of_the_synthetic_set():
    pixels = synthetic.load().train.images.reshape(-1, 3) / 255
    mean, deviation = CIFAR["synthetic"].channels
    np.testing.assert_allclose(pixels.mean(axis=0), mean, atol=1e-4)
    np.testing.assert_allclose(pixels.std(axis=0), deviation, atol=1e-4)


def test_validation_split_holds_the_last_tenth_out():
    dataset = synthetic.load()
    train, held_out = training_and_evaluation(dataset, validation=True)
    assert (len(train), len(held_out)) == (9_000, 1_000)
    np.testing.assert_array_equal(held_out.images, dataset.train.images[9_000:])
    assert training_and_evaluation(dataset, validation=False) == (dataset.train, dataset.test)


@pytest.mark.parametrize("name", ["folder", "tfds:pets"])
def test_of_images_that_lie_class_by_class_a_tenth_of_each_class_is_held_out(name):
    images = np.random.default_rng(0).integers(0, 256, [200, 4, 4, 3], np.uint8)
    labels = np.repeat(np.arange(3, dtype=np.int32), [120, 60, 20])

    def divided(order):
        train = Split(images[order], labels[order])
        return training_and_evaluation(Dataset(name, ("a", "b", "c"), train, train), True)

    train, held_out = divided(np.arange(200))
    assert np.bincount(held_out.labels).tolist() == [12, 6, 2]
    assert np.bincount(train.labels).tolist() == [108, 54, 18]
    whole = np.concatenate([train.images, held_out.images])
    assert {image.tobytes() for image in whole} == {image.tobytes() for image in images}

    def content(split):
        return {image.tobytes() for image in split.images}

    # Mixed, so that the first ones are a sample, in an order of their own.
    assert len(set(held_out.labels[:5])) > 1 and (np.diff(held_out.labels) < 0).any()
    other = divided(np.random.default_rng(1).permutation(200))[1]
    np.testing.assert_array_equal(other.images, held_out.images)

    # The same ones in any order, and not just the first or last of a class.
    assert content(divided(np.random.default_rng(1).permutation(200))[1]) == content(held_out)
    places = [i for i in range(120) if images[i].tobytes() in content(held_out)]
    assert places[0] < 60 < places[-1] and places[-1] - places[0] > 12


def test_too_few_images_to_hold_one_out_are_named():
    few = Split(np.zeros([9, 4, 4, 3], np.uint8), np.arange(9, dtype=np.int32) % 2)
    with pytest.raises(DataError, match="folder has 9 training images, and --validation needs 10"):
        training_and_evaluation(Dataset("folder", ("a", "b"), few, few), True)


def dataset_of(train, test=None):
    """A data set of images (N, 32, 32, 3), whose labels are their numbers modulo 10."""
    splits = [
        Split(images, np.arange(len(images), dtype=np.int32) % 10)
        for images in (train, train[:4] if test is None else test)
    ]
    return Dataset("cifar-10", tuple("0123456789"), *splits)


def feed_config(**changes):
    changes = {"batch_size": 9, "evaluation_batch_size": 4, "preprocessor": "cifar-unit"} | changes
    return dataclasses.replace(resnet.get_config("revnet-38"), **changes)


def test_held_out_images_do_not_train_and_those_that_train_are_not_held_out():
    images = np.full([40, 32, 32, 3], 255, np.uint8)
    images[36:] = [255, 0, 255]  # the last tenth
    feed = cifar_feed(dataset_of(images), True, feed_config())
    for batch, _ in feed.training(0, Share(9)).take(8):  # two epochs
        assert batch.numpy()[:, 8:24, 8:24].min() == 1  # the padding aside
    assert list(feed.evaluations) == ["validation", "test"]
    (batch, _), *others = feed.evaluations["validation"]()
    assert not others and batch.shape[0] == 4
    np.testing.assert_array_equal(batch, np.broadcast_to(np.float32([1, 0, 1]), batch.shape))


def test_without_validation_every_image_trains():
    images = np.full([40, 32, 32, 3], 255, np.uint8)
    images[36:] = [255, 0, 255]
    feed = cifar_feed(dataset_of(images), False, feed_config(batch_size=10))
    batches = np.concatenate([x for x, _ in feed.training(0, Share(10)).take(4)])
    assert (batches[:, 16, 16, 1] == 0).sum() == 4
    assert list(feed.evaluations) == ["test"]


@pytest.mark.parametrize("validation", [True, False])
def test_the_mean_image_is_of_the_images_that_train(validation):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, [40, 32, 32, 3], np.uint8)
    images[36:] = 255
    kept = []

    def keep(name, compute):
        assert name == "mean_image"
        kept.append(compute())
        return kept[0]

    config = feed_config(preprocessor="cifar")
    test = rng.integers(0, 256, [3, 32, 32, 3], np.uint8)
    feed = cifar_feed(dataset_of(images, test), validation, config, keep)
    wanted = images[: 36 if validation else 40].mean(axis=0)
    np.testing.assert_allclose(kept[0], wanted, rtol=1e-6)
    (batch, _), *_ = feed.evaluations["test"]()
    np.testing.assert_allclose(batch, test - wanted, atol=1e-4)


def test_a_kept_mean_image_is_taken_rather_than_computed():
    images = np.zeros([40, 32, 32, 3], np.uint8)
    kept = np.full([32, 32, 3], 3, np.float32)
    feed = cifar_feed(dataset_of(images), False, feed_config(preprocessor="cifar"), lambda *_: kept)
    (batch, _), *_ = feed.evaluations["test"]()
    np.testing.assert_array_equal(batch, np.full(batch.shape, -3))


def test_the_seed_of_the_config_decides_on_images_and_augmentation(split):
    dataset = dataset_of(split.images)

    def first(seed):
        return next(iter(cifar_feed(dataset, False, feed_config(seed=seed)).training(0, Share(9))))

    for one, same, other in zip(first(1), first(1), first(2), strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)


def test_hosts_take_their_own_images_through_the_feed(split):
    feed = cifar_feed(dataset_of(split.images), False, feed_config(seed=1))
    whole, _ = next(iter(feed.training(0, Share(8))))
    for host in (0, 1):
        part, _ = next(iter(feed.training(0, Share(4, num_hosts=2, host=host))))
        np.testing.assert_array_equal(part, whole[4 * host : 4 * host + 4])


def test_synthetic_is_seeded_balanced_and_not_told_by_colour():
    one, same = synthetic.generate(1000, 4), synthetic.generate(1000, 4)
    np.testing.assert_array_equal(one.images, same.images)
    np.testing.assert_array_equal(np.bincount(one.labels), np.full(10, 100))
    dataset = load_dataset("synthetic", "nowhere")
    means = dataset.train.images.reshape(len(dataset.train), -1, 3).mean(axis=1)
    test_means = dataset.test.images.reshape(len(dataset.test), -1, 3).mean(axis=1)
    nearest = np.argmin(((test_means[:, None] - means[None]) ** 2).sum(-1), axis=1)
    # The nearest neighbour in mean colour is right hardly more often than chance.
    assert np.mean(dataset.train.labels[nearest] == dataset.test.labels) < 0.2


def test_input_is_much_faster_than_training():
    """RevNet-38 trains some 300 images/s on 2 cores: 20 times that is 6,000."""
    dataset = synthetic.load()
    preparation = prepared_by_mean(dataset.train)
    batches = iter(
        pipeline.training_batches(dataset.train, preparation, Recipe(seed=0), 0, Share(100))
    )
    for _ in range(10):
        next(batches)
    start = time.perf_counter()
    for _ in range(100):
        next(batches)
    assert 100 * 100 / (time.perf_counter() - start) > 6_000
