"""ImageNet's input: what happens to pixels, and which image comes when."""

import dataclasses
import json
import pathlib
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf

import resnet
from images import encoded, make_shards, picture
from resnet.data.feed import Share
from resnet.data.imagenet import preprocessing
from resnet.data.imagenet.input import (
    ImageNet,
    evaluation_batches,
    find_damage,
    imagenet_feed,
    open_imagenet,
    training_batches,
)
from resnet.data.imagenet.raw_images import RawImage
from resnet.data.imagenet.shards import find_shards
from resnet.data.imagenet.writer import write_shard
from resnet.data.registry import IMAGENET
from resnet.data.trivial_augment import draw_trivial, trivial_augment
from resnet.errors import DataError
from resnet.settings import SettingError
from resnet.training import evaluator
from resnet.training.bad_data import bad_data
from resnet.training.evaluator import Evaluator
from resnet.training.state import Training

CONFIG = dataclasses.replace(resnet.get_config("revnet-56"), image_size=32, num_classes=4)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def imagenet(shards):
    return open_imagenet(shards, 4, ("train", "validation"))


@pytest.mark.parametrize("order", [0.0, 0.9])
def test_colours_are_tensorflows_own_image_by_image(order):
    inception = preprocessing.Inception(24)
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, [5, 24, 24, 3]).astype(np.float32)
    draws = rng.random([5, preprocessing.NUM_DRAWS]).astype(np.float32)
    draws[:, preprocessing.ORDER] = order
    got = inception.augment(tf.constant(images), tf.constant(draws))
    for image, drawn, result in zip(images, draws, got, strict=True):
        flip, _, brightness, saturation, hue, contrast = map(float, drawn)
        x = tf.constant(image) / 255
        x = tf.image.flip_left_right(x) if flip < 0.5 else x
        x = tf.image.adjust_brightness(x, (2 * brightness - 1) * 32 / 255)
        if order < 0.5:
            x = tf.image.adjust_contrast(x, 0.5 + contrast)
        x = tf.image.adjust_saturation(x, 0.5 + saturation)
        x = tf.image.adjust_hue(x, (2 * hue - 1) * 0.2)
        if order >= 0.5:
            x = tf.image.adjust_contrast(x, 0.5 + contrast)
        np.testing.assert_allclose(result, tf.clip_by_value(x, 0, 1) * 2 - 1, atol=2e-5)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(50, 40), (41, 67)])
def test_evaluation_takes_the_central_part(form, size):
    content = tf.constant(encoded(picture(1, size), form))
    image = tf.io.decode_image(content, channels=3, expand_animations=False)
    inception = preprocessing.Inception(32)
    got = preprocessing.decode_box(content, inception.evaluation_box, 32)
    wanted = tf.image.resize(tf.image.central_crop(image, 0.875), [32, 32])
    # A JPEG's chroma is interpolated across the edge of what is decoded.
    np.testing.assert_allclose(got, wanted, atol=0 if form == "PNG" else 12)
    assert np.abs(got - wanted).mean() < 0.2

    vgg = preprocessing.Vgg(32)
    side = round(min(size) * 224 / 256)
    top, left, height, width = vgg.evaluation_box(tf.shape(image)).numpy()
    assert (height, width) == (side, side)
    assert (top, left) == ((size[1] - side) // 2, (size[0] - side) // 2)
    mean = vgg.scale(tf.zeros([1, 1, 1, 3])).numpy().ravel()
    np.testing.assert_allclose(mean, [-123.68, -116.78, -103.94])


def test_training_boxes_lie_in_the_image_and_show_the_object():
    inception, vgg = preprocessing.Inception(32), preprocessing.Vgg(32)
    shape, whole = tf.constant([40, 50, 3]), tf.zeros([1, 0, 4])
    object_box = tf.constant([[[0.0, 0.0, 0.3, 0.3]]])  # 12 by 15 pixels, top left
    seen = set()
    for i in range(200):
        for chosen in (
            inception.training_box(shape, whole, [1, i]),
            inception.training_box(shape, object_box, [1, i]),
            vgg.training_box(shape, whole, [1, i]),
        ):
            top, left, height, width = chosen.numpy()
            assert top >= 0 and left >= 0 and height > 0 and width > 0
            assert top + height <= 40 and left + width <= 50
        seen.add((top, left, height))
        assert height == width and 40 * 224 / 512 - 1 <= height <= 40 * 224 / 256 + 1
        top, left, height, width = inception.training_box(shape, object_box, [1, i]).numpy()
        covered = max(0, min(12, top + height) - top) * max(0, min(15, left + width) - left)
        assert covered >= 0.1 * 12 * 15 - 8  # whole pixels
        assert 0.04 <= height * width / 2000 <= 1
    assert len(seen) > 150


def batches(imagenet, first_step, share, count, config=CONFIG):
    stream = training_batches(imagenet, config, True, first_step, share).take(count)
    return [(inputs["images"], inputs["draws"], labels) for inputs, labels in stream]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_any_step_can_be_had_without_training_those_before_it(imagenet):
    # 20 images, 6 a step: within, at and past the ends of epochs.
    whole = batches(imagenet, 0, Share(6), 8)
    for step in (1, 3, 7):
        assert_same(batches(imagenet, step, Share(6), 1), whole[step : step + 1])
    other = batches(imagenet, 0, Share(6), 1, dataclasses.replace(CONFIG, seed=1))
    assert not np.array_equal(other[0][0], whole[0][0])


def test_draws_differ_between_steps_images_seeds_and_hosts(imagenet):
    (_, first, _), (_, second, _) = batches(imagenet, 0, Share(6), 2)
    assert len(np.unique(first, axis=0)) == 6
    (_, seeded, _), *_ = batches(imagenet, 0, Share(6), 1, dataclasses.replace(CONFIG, seed=1))
    for other in (second, seeded, batches(imagenet, 0, Share(6, 1, 2, 1), 1)[0][1]):
        assert not np.isin(first, other).any()


@pytest.fixture(scope="module")
def same_image(tmp_path_factory):
    """An ImageNet whose images are all the same."""
    folder = tmp_path_factory.mktemp("same")
    (folder / "a.JPEG").write_bytes(encoded(picture(1)))
    image = RawImage("a.JPEG", "n1", str(folder / "a.JPEG"))
    write_shard(folder / "train-00000-of-00001", [(image, 1, "n1", "", ())] * 4, strict=True)
    return open_imagenet(folder, 4)


@pytest.mark.parametrize("deterministic", [True, False])
def test_boxes_differ_between_images_steps_epochs_and_seeds(same_image, deterministic):
    def images(seed, first_step=0):
        config = dataclasses.replace(CONFIG, seed=seed)
        stream = training_batches(same_image, config, deterministic, first_step, Share(4))
        return np.concatenate([inputs["images"] for inputs, _ in stream.take(2)])

    shown = images(0)  # of two steps, which are two epochs
    assert len(np.unique(shown, axis=0)) == len(shown) == 8
    for other in (images(1), images(0, 2)):
        assert not any(np.array_equal(one, two) for one in shown for two in other)


def test_without_determinism_a_restored_run_takes_a_new_order(imagenet):
    first, again = (
        np.concatenate(
            [x for _, x in training_batches(imagenet, CONFIG, False, s, Share(20)).take(1)]
        )
        for s in (0, 5)
    )
    np.testing.assert_array_equal(np.bincount(again), [5, 5, 5, 5])
    assert not np.array_equal(first, again)


def test_every_epoch_shows_every_image_once_in_a_new_order(imagenet):
    # A batch is an epoch. Labels tell classes apart, and the decoded images themselves.
    epochs = [labels.numpy() for *_, labels in batches(imagenet, 0, Share(20), 4)]
    for labels in epochs:
        np.testing.assert_array_equal(np.bincount(labels), [5, 5, 5, 5])
    assert len({tuple(labels) for labels in epochs}) == 4


def test_hosts_read_shards_of_their_own(imagenet):
    hosts = [batches(imagenet, 0, Share(5, 1, 2, host), 2) for host in (0, 1)]
    counts = sum(np.bincount(labels, minlength=4) for host in hosts for *_, labels in host)
    np.testing.assert_array_equal(counts, [5, 5, 5, 5])
    with pytest.raises(DataError, match="5 hosts read shards of their own, but there are 4"):
        batches(imagenet, 0, Share(5, 1, 5, 0), 1)


def test_evaluation_shows_every_image_once_and_fills_up(imagenet):
    found = list(evaluation_batches(imagenet, CONFIG, "validation", 3, 100))
    assert [images.shape for images, _ in found] == [(3, 32, 32, 3)] * 3
    labels = np.concatenate([labels for _, labels in found])
    np.testing.assert_array_equal(np.bincount(labels[:8]), [2, 2, 2, 2])
    assert labels[8] == -1
    assert np.concatenate([images for images, _ in found])[:8].min() >= -1
    few = list(evaluation_batches(imagenet, CONFIG, "validation", 3, 4))
    assert [list(labels.numpy() >= 0).count(True) for _, labels in few] == [3, 1]


def test_prepared_images(imagenet):
    feed = imagenet_feed(imagenet, CONFIG, deterministic=True)
    inputs, labels = next(iter(feed.training(0, Share(10))))
    images = feed.prepare(inputs)
    assert images.shape == (10, 32, 32, 3) and images.dtype == tf.float32
    assert -1 <= tf.reduce_min(images) < -0.5 < 0.5 < tf.reduce_max(images) <= 1
    assert inputs["images"].dtype == tf.uint8 and labels.dtype == tf.int32


@pytest.mark.parametrize("field", [{"cutout": 9}, {"trivial_augment": True}])
def test_a_steps_images_are_the_same_for_any_number_of_replicas(imagenet, field):
    config = dataclasses.replace(CONFIG, **field)
    feed = imagenet_feed(imagenet, config, deterministic=True)

    def images(share, count):
        return [feed.prepare(x) for x, _ in feed.training(1, share).take(count)]

    whole, parts = images(Share(6), 2), images(Share(3, 2), 4)
    np.testing.assert_array_equal(np.concatenate(whole), np.concatenate(parts))


def test_the_registrys_entry_reads_it(shards, imagenet):
    opened = IMAGENET.load(shards, 4, ("train", "validation"))
    assert opened == imagenet and IMAGENET.load(shards, 4).shards.keys() == {"train"}
    (inputs, labels), *_ = IMAGENET.feed(opened, CONFIG, True).training(0, Share(6)).take(1)
    got = [(inputs["images"], inputs["draws"], labels)]
    assert_same(got, batches(imagenet, 0, Share(6), 1))
    found, wanted = (
        list(evaluate(opened, CONFIG, "validation", 3, 4))
        for evaluate in (IMAGENET.evaluation_batches, evaluation_batches)
    )
    assert_same(found, wanted)


def test_labels_outside_of_the_classes(shards):
    with pytest.raises(DataError, match='has 4 classes, but the model 3: give "num_classes": 4'):
        open_imagenet(shards, 3)
    (shards / "dataset.json").rename(shards / "kept")  # as if by another converter
    try:
        with pytest.raises(DataError, match=r"label \d is outside of 1 to 1, the model's classes"):
            open_imagenet(shards, 1)
    finally:
        (shards / "kept").rename(shards / "dataset.json")
    unchecked = ImageNet({"train": find_shards(shards, "train")})
    config = dataclasses.replace(CONFIG, num_classes=2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="label outside of 1 to 2"):
        batches(unchecked, 0, Share(20), 1, config)


def test_records_of_another_format(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "train-00000-of-00001")) as writer:
        writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(DataError, match=r"holds no ImageNet records \(it lacks image/encoded"):
        open_imagenet(tmp_path, 4)


def test_images_are_mixed_and_blanked_as_the_recipe_says(imagenet):
    parts = dataclasses.replace(CONFIG, mixup=0.5, cutout=9, flip="none")
    changed = dataclasses.replace(CONFIG, trivial_augment=True)
    plain, mixed = (
        next(iter(training_batches(imagenet, config, True, 2, Share(6))))
        for config in (CONFIG, parts)
    )
    (inputs, labels), (mixed_inputs, mixed_labels) = plain, mixed
    np.testing.assert_array_equal(mixed_labels.labels, labels)
    np.testing.assert_array_equal(mixed_labels.others, labels[::-1])
    one, other = (x.numpy().astype(float) for x in (inputs["images"], inputs["images"][::-1]))
    found, share = mixed_inputs["images"].numpy(), float(mixed_labels.share[0])
    assert 0 < share < 1
    np.testing.assert_allclose(found, share * one + (1 - share) * other, atol=0.51)
    again = next(iter(training_batches(imagenet, parts, True, 2, Share(6))))
    np.testing.assert_array_equal(found, again[0]["images"])

    (inputs, _) = next(iter(training_batches(imagenet, changed, True, 2, Share(6))))
    # The batch's seed: of what draws alone.
    seed = tf.random.stateless_uniform([2], [CONFIG.seed, 0], None, None, tf.int64)
    wanted = trivial_augment(one.astype(np.uint8), *draw_trivial(6, tf.stack([seed[1], 2])))
    np.testing.assert_array_equal(inputs["images"], wanted)

    feed = imagenet_feed(imagenet, parts, deterministic=True)
    whole = preprocessing.PREPROCESSORS[CONFIG.preprocessor](32)
    x = tf.cast(mixed_inputs["images"], tf.float32)
    draws = mixed_inputs["draws"].numpy()
    assert (draws[:, preprocessing.FLIP] >= 0.5).all()
    wanted = whole.augment(x, draws).numpy()
    for image, (row, column) in zip(wanted, mixed_inputs["cutout"].numpy(), strict=True):
        image[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5] = 0
    np.testing.assert_allclose(feed.prepare(mixed_inputs), wanted, atol=1e-6)


@pytest.mark.parametrize("field", [{"flip": "alternating"}, {"padding": "reflect"}])
def test_what_needs_images_in_memory_is_refused(imagenet, field):
    with pytest.raises(SettingError, match="where images are streamed"):
        imagenet_feed(imagenet, dataclasses.replace(CONFIG, **field), deterministic=True)


def damaged_copy(shards, folder, name, change):
    """A copy of the shards, one of them with other bytes."""
    copy = pathlib.Path(shutil.copytree(shards, folder))
    content = bytearray((copy / name).read_bytes())
    change(content)
    (copy / name).write_bytes(content)
    return open_imagenet(copy, 4, ("train", "validation"))


def flip_in_the_third(content):
    """Flips a bit within a shard's third record; the first is looked at before any is read."""
    start = 0
    for _ in range(2):
        start += 16 + int.from_bytes(content[start : start + 8], "little")
    content[start + 100] ^= 1


def spoil_a_jpeg(content):
    """Another file under the same record's checksum: what another converter may have written."""
    records = [bytes(x) for x in tf.data.TFRecordDataset(spoil_a_jpeg.path).as_numpy_iterator()]
    example = tf.train.Example.FromString(records[1])
    encoded_image = example.features.feature["image/encoded"].bytes_list
    encoded_image.value[0] = encoded_image.value[0][:3] + b"\0" * 50
    records[1] = example.SerializeToString()
    with tf.io.TFRecordWriter(spoil_a_jpeg.path) as writer:
        for record in records:
            writer.write(record)
    content[:] = pathlib.Path(spoil_a_jpeg.path).read_bytes()


@pytest.mark.parametrize(
    ("change", "record", "said"),
    [(flip_in_the_third, 2, "corrupted record at"), (spoil_a_jpeg, 1, "")],
    ids=["flipped", "no image"],
)
def test_damage_met_while_reading_names_the_shard(
    shards, tmp_path, monkeypatch, change, record, said
):
    """In a training, whose shards are read in turns, and in an evaluation."""
    name = "train-00002-of-00004"
    spoil_a_jpeg.path = str(shutil.copy(shards / name, tmp_path / "shard"))
    found = damaged_copy(shards, tmp_path / "copy", name, change)
    wanted = rf"cannot take the train\w* images: shard {tmp_path}/copy/{name}, record {record}: "
    wanted += rf"{said}.* Remove it and build again, or change the config"

    training = Training.__new__(Training)
    training.placement = types.SimpleNamespace(hosts=["one"])
    training._feed = imagenet_feed(found, CONFIG, deterministic=True)
    training._batches = iter(training._feed.training(0, Share(6)))
    with pytest.raises(DataError, match=wanted):
        for _ in range(4):
            training.next_batch()

    follower = Evaluator.__new__(Evaluator)
    follower.experiment = types.SimpleNamespace(config=CONFIG)
    follower._entry, follower._data, follower._model = IMAGENET, found, None
    follower._batch_size, follower._num_images = 3, {"train": 20, "validation": 8}
    follower._evaluation = lambda batches, **_: list(batches)
    monkeypatch.setattr(evaluator, "restore_checkpoint", lambda *_: None)
    with pytest.raises(DataError, match=wanted):
        follower.evaluate(1, "prefix")


def test_what_can_be_read_is_not_named(imagenet):
    error = tf.errors.DataLossError(None, None, "elsewhere")
    assert find_damage(imagenet, CONFIG, "train", error) is None
    message = "cannot take the training images: elsewhere. Build their shards again"
    assert message in str(bad_data(error, "training", lambda _: None))


def test_a_shard_cut_between_two_records_is_noticed(shards, tmp_path):
    def cut(content):
        del content[16 + int.from_bytes(content[:8], "little") :]

    with pytest.raises(DataError, match=r"hold 16 images, but dataset.json says 20: .*Remove tr"):
        damaged_copy(shards, tmp_path / "copy", "train-00001-of-00004", cut)


@pytest.mark.parametrize(
    "change",
    [{"synsets": "n00000003"}, {"synsets": [1, 2]}, {"splits": []}, {"splits": {"train": 3}}],
)
def test_an_index_that_makes_no_sense_is_named(shards, tmp_path, change):
    copy = pathlib.Path(shutil.copytree(shards, tmp_path / "copy"))
    index = json.loads((copy / "dataset.json").read_text()) | change
    index.pop("crc32")
    for text in (json.dumps(index), "{", "[" * 100_000):
        (copy / "dataset.json").write_text(text)
        with pytest.raises(DataError, match=r"dataset.json is damaged, .* or remove it to read"):
            open_imagenet(copy, 4)
        with pytest.raises(DataError, match=r"dataset.json is damaged"):
            IMAGENET.classes(copy)
