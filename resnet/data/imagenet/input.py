"""ImageNet's batches, read from TFRecord shards while training."""

import dataclasses
import functools
import os

import tensorflow as tf

from resnet.data.augmentation import cutout, draw_cutout, draw_mix, mix
from resnet.data.feed import PADDING_LABEL, Feed, untuned
from resnet.data.imagenet import preprocessing as imagenet_preprocessing
from resnet.data.imagenet.example import label_of, parse_example
from resnet.data.imagenet.index import known_index
from resnet.data.imagenet.shards import find_shards, first_record
from resnet.data.layout import INDEX
from resnet.data.trivial_augment import draw_trivial, trivial_augment
from resnet.errors import DataError, message_of
from resnet.settings import wrong

SHARDS_AT_ONCE = 16  # read in turns, one record of each
SHUFFLE_BUFFER = 4096  # encoded images, some 450 MB of the real data set
NUM_DECODERS = os.cpu_count() or 1  # images decoded at once; nothing tunes it, see feed.untuned


@dataclasses.dataclass(frozen=True)
class ImageNet:
    """Shards of a data set in ImageNet's format.

    shards: {split: [Shard]}.
    label_names: of the classes; empty where they are not known.
    """

    shards: dict
    label_names: tuple = ()

    def num_images(self, split):
        """Number of images of a split."""
        return sum(shard.num_records for shard in self.shards[split])


def open_imagenet(folder, num_classes, splits=("train",)):
    """Finds and checks the shards of a data set; reads no images.

    Args:
      folder: holds train-?????-of-????? and validation-?????-of-?????.
      num_classes: what labels must fit.
      splits: those that are needed.

    Returns:
      ImageNet.

    Raises:
      DataError: shards missing, damaged, empty, in another format, with labels outside the
        classes (looked at: the first record of each), or with other numbers of images than the
        index says.
    """
    shards = {split: find_shards(folder, split) for split in splits}
    index = known_index(folder)
    names = index.synsets
    for split in splits:
        count = sum(shard.num_records for shard in shards[split])
        wanted = index.splits.get(split, {}).get("images", count)
        if count != wanted:
            raise DataError(
                f"the {split} shards in {folder} hold {count} images, but {INDEX} says {wanted}: "
                f"one of them is cut short, or of another build. Remove {split}-* and build again"
            )
    if len(names) > num_classes:
        raise DataError(
            f"{folder} has {len(names)} classes, but the model {num_classes}: "
            f'give "num_classes": {len(names)} in the --config file, or leave it out there'
        )
    for shard in (shard for split in splits for shard in shards[split]):
        label = label_of(first_record(shard.path), shard.path)
        if not 1 <= label <= num_classes:
            raise DataError(_outside(label, num_classes) + f" (first image of {shard.path})")
    return ImageNet(shards, names)


def _outside(label, num_classes):
    return (
        f"label {label} is outside of 1 to {num_classes}, the model's classes: build the shards "
        'again, or give "num_classes" in a --config file'
    )


def preprocessing_of(config):
    """The preprocessing that a config asks for.

    Raises:
      SettingError: the recipe needs a data set in memory.
    """
    for name, known in (("flip", ("random", "none")), ("padding", ("zeros",))):
        if getattr(config, name) not in known:
            wanted = f"{' or '.join(known)} where images are streamed"
            raise wrong(f"config {config.name}: ", name, getattr(config, name), wanted)
    return imagenet_preprocessing.PREPROCESSORS[config.preprocessor](config.image_size)


def imagenet_feed(imagenet, config, deterministic):
    """Feed of ImageNet's training images.

    Args:
      imagenet: ImageNet with its train split.
      config: Config.
      deterministic: whether a step's images and their augmentation depend on the
        seed, the step and the number of hosts alone; else, which image comes first
        also on which is decoded first.
    """
    preprocessing = preprocessing_of(config)

    def prepare(inputs):
        images = tf.cast(inputs["images"], tf.float32)
        images = preprocessing.augment(images, inputs["draws"])
        return cutout(images, inputs["cutout"], config.cutout) if config.cutout else images

    return Feed(
        functools.partial(training_batches, imagenet, config, deterministic),
        {},
        prepare,
        find_damage=functools.partial(find_damage, imagenet, config, "train"),
    )


def training_batches(imagenet, config, deterministic, first_step, share):
    """Endless stream of decoded training images; see `imagenet_feed`.

    Every host reads shards of its own, in a new order every epoch. A run that is
    restored within an epoch reads past what it has seen, if it is to be deterministic;
    else it takes a new order.

    Returns:
      tf.data.Dataset of ({"images": (N, H, W, 3) uint8, "draws": (N, NUM_DRAWS)
      float32, with cutout also "cutout": (N, 2) int32}, labels (N,) int32 or MixedLabels).

    Raises:
      DataError: more hosts than shards.
    """
    preprocessing = preprocessing_of(config)
    shards = imagenet.shards["train"]
    if len(shards) < share.num_hosts:
        raise DataError(
            f"{share.num_hosts} hosts read shards of their own, but there are {len(shards)}: "
            "build again with more --train_shards"
        )
    shards = shards[share.host :: share.num_hosts]
    paths = [shard.path for shard in shards]
    num_images = sum(shard.num_records for shard in shards)
    # A seed for the order and the boxes, and one for what steps draw.
    seed = tf.random.stateless_uniform(
        [2], [config.seed, share.host], minval=None, maxval=None, dtype=tf.int64
    )
    if not deterministic:
        seed = tf.random.experimental.stateless_fold_in(seed, tf.constant(first_step, tf.int64))
    num_at_once = share.batch_size * share.num_replicas  # images of a step
    start = first_step * num_at_once

    @tf.autograph.experimental.do_not_convert
    def epoch(number):
        epoch_seed = tf.random.experimental.stateless_fold_in(seed, number)
        files = tf.random.experimental.stateless_shuffle(tf.constant(paths), epoch_seed)
        records = tf.data.Dataset.from_tensor_slices(files).interleave(
            tf.data.TFRecordDataset,
            cycle_length=min(SHARDS_AT_ONCE, len(paths)),
            num_parallel_calls=min(SHARDS_AT_ONCE, len(paths)),
            deterministic=deterministic,
        )
        buffer = min(SHUFFLE_BUFFER, num_images)
        return records.shuffle(buffer, epoch_seed[0], reshuffle_each_iteration=False)

    @tf.autograph.experimental.do_not_convert
    def decode(position, record):
        encoded, label, boxes = parse_example(record)
        image_seed = tf.stack([seed[0], position])
        image = imagenet_preprocessing.decode_box(
            encoded,
            lambda shape: preprocessing.training_box(shape, boxes, image_seed),
            preprocessing.size,
        )
        image = tf.cast(image + 0.5, tf.uint8)
        return image, _class_of(label, config.num_classes)

    @tf.autograph.experimental.do_not_convert
    def add_draws(number, batch):
        images, labels = batch
        step, replica = number // share.num_replicas, number % share.num_replicas
        step_seed, size = tf.stack([seed[1], step]), preprocessing.size
        own = slice(replica * share.batch_size, (replica + 1) * share.batch_size)
        if config.trivial_augment:
            changes, strengths = draw_trivial(num_at_once, step_seed)
            images = trivial_augment(images, changes[own], strengths[own])
        if config.mixup or config.cutmix:
            # The partners are the replica's images in the reverse order.
            mixing = draw_mix(config.mixup, config.cutmix, size, size, step_seed)
            x = tf.cast(images, tf.float32)
            x, labels = mix(x, labels, x[::-1], labels[::-1], *mixing)
            images = tf.cast(x + 0.5, tf.uint8)
        draws = imagenet_preprocessing.draw(num_at_once, step_seed)[own]
        if config.flip == "none":
            draws = imagenet_preprocessing.unflipped(draws)
        inputs = {"images": images, "draws": draws}
        if config.cutout:
            inputs["cutout"] = draw_cutout(num_at_once, size, size, step_seed)[own]
        return inputs, labels

    epochs = tf.data.Dataset.counter(start // num_images, dtype=tf.int64)
    stream = epochs.flat_map(epoch).enumerate(start // num_images * num_images)
    if deterministic:
        stream = stream.skip(start % num_images)
    stream = stream.map(decode, NUM_DECODERS, deterministic=deterministic)
    batches = stream.batch(share.batch_size, drop_remainder=True)
    batches = batches.enumerate(first_step * share.num_replicas).map(add_draws)
    return batches.prefetch(4)


def evaluation_batches(imagenet, config, split, batch_size, num_images):
    """Images of a split, each once, in order, unaugmented.

    Args:
      imagenet: ImageNet with this split.
      config: Config.
      split: "train" or "validation".
      batch_size: images a batch.
      num_images: how many, if there are as many.

    Returns:
      tf.data.Dataset of (images (N, H, W, 3) float32, labels (N,) int32); the last
      batch is filled up with zeros labelled -1.
    """
    size = preprocessing_of(config).size

    @tf.autograph.experimental.do_not_convert
    def fill(images, labels):
        missing = batch_size - tf.shape(labels)[0]
        images = tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]])
        labels = tf.pad(labels, [[0, missing]], constant_values=PADDING_LABEL)
        shape = [batch_size, size, size, 3]
        return tf.ensure_shape(images, shape), tf.ensure_shape(labels, [batch_size])

    records = tf.data.TFRecordDataset([shard.path for shard in imagenet.shards[split]])
    batches = (
        records.take(num_images)
        .map(_whole(config), NUM_DECODERS, deterministic=True)
        .batch(batch_size)
    )
    return batches.map(fill).prefetch(2)


def _whole(config):
    """Function of a serialized record: its image, unaugmented, and its label."""
    preprocessing = preprocessing_of(config)

    @tf.autograph.experimental.do_not_convert
    def prepare(record):
        encoded, label, _ = parse_example(record)
        image = imagenet_preprocessing.decode_box(
            encoded, preprocessing.evaluation_box, preprocessing.size
        )
        return preprocessing.scale(image), _class_of(label, config.num_classes)

    return prepare


def find_damage(imagenet, config, split, error):
    """The shard and the record that an error of reading a split is of.

    Shards are read in turns, and errors of TensorFlow name none: here they are read again, one
    by one, up to the first with an error.

    Args:
      imagenet: ImageNet with this split.
      config: Config.
      split: "train" or "validation".
      error: tf.errors.OpError.

    Returns:
      Text; None if all can be read.
    """
    shards = imagenet.shards[split]
    print(f"looking for the {split} shard, among {len(shards)}, that cannot be read", flush=True)
    for shard in shards:
        records, count = tf.data.TFRecordDataset(shard.path), 0
        if not isinstance(error, tf.errors.DataLossError):  # of a checksum: no need to decode
            records = records.map(_whole(config), NUM_DECODERS, deterministic=True)
        try:
            for _ in untuned(records.prefetch(4)):
                count += 1
        except tf.errors.OpError as found:
            return f"shard {shard.path}, record {count}: {message_of(found)}"
    return None


def _class_of(label, num_classes):
    """The network's label, int32 from 0, of a record's, from 1."""
    message = f"label outside of 1 to {num_classes}, the model's classes"
    with tf.control_dependencies(
        [tf.debugging.Assert((label >= 1) & (label <= num_classes), [message, label])]
    ):
        return tf.cast(label - 1, tf.int32)
