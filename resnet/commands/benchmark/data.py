"""Speed of ImageNet's training input, against the bare decoding of its images."""

import statistics
import time

import tensorflow as tf

from resnet.configs import get_config
from resnet.data.feed import Share, untuned
from resnet.data.imagenet.example import parse_example
from resnet.data.imagenet.input import NUM_DECODERS, imagenet_feed, open_imagenet
from resnet.data.imagenet.preprocessing import PREPROCESSORS
from resnet.errors import UsageError
from resnet.training.placement import place

ROUNDS = 5
MIN_IMAGES = 3000  # of a round
WARM_UP_BATCHES = 5


def measure_input(model, data_dir, batch_size):
    """The benchmark's result for ImageNet, a dict.

    `ratio` is the rate of training batches, ready for the device, over the rate of
    tf.io.decode_jpeg on the same images, both read from the same shards with the same
    parallelism, in turns. `augment_images_per_second` is what the device then needs.

    Args:
      model: name of the config that says how images are prepared.
      data_dir: folder of the shards.
      batch_size: images.

    Raises:
      UsageError: the config does not take ImageNet's images.
    """
    placement = place()
    config = get_config(model)
    if config.preprocessor not in PREPROCESSORS:
        raise UsageError(
            f"--model is {model}, whose images are prepared by {config.preprocessor!r}: give one "
            "for ImageNet, such as revnet-56"
        )
    imagenet = open_imagenet(data_dir, config.num_classes)
    feed = imagenet_feed(imagenet, config, deterministic=False)
    num_batches = -(-MIN_IMAGES // batch_size)
    kinds = {
        "decode": lambda: _decoded(imagenet, batch_size),
        "input": lambda: feed.training(0, Share(batch_size)),
    }
    rates = {"decode": [], "input": []}
    for _ in range(ROUNDS):
        for kind, make in kinds.items():
            rates[kind].append(_rate(iter(untuned(make())), num_batches, batch_size))
    inputs, _ = next(iter(kinds["input"]()))
    medians = {kind: statistics.median(found) for kind, found in rates.items()}
    ratios = [i / d for d, i in zip(rates["decode"], rates["input"], strict=True)]
    return {
        "data": "imagenet",
        "num_images": imagenet.num_images("train"),
        "preprocessor": config.preprocessor,
        "batch_size": batch_size,
        "images_per_round": num_batches * batch_size,
        "rounds": ROUNDS,
        "decode_images_per_second": round(medians["decode"], 1),
        "images_per_second": round(medians["input"], 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min_max": [round(min(ratios), 3), round(max(ratios), 3)],
        "augment_images_per_second": round(_augment_rate(feed, inputs, batch_size), 1),
        "device": placement.devices[0],
        "versions": {"tensorflow": tf.__version__},
    }


def _rate(batches, num_batches, batch_size):
    """Images a second of an iterator that nothing else runs beside."""
    for _ in range(WARM_UP_BATCHES):
        next(batches)
    start = time.perf_counter()
    for _ in range(num_batches):
        next(batches)
    return num_batches * batch_size / (time.perf_counter() - start)


def _decoded(imagenet, batch_size):
    """Endless batches of what decoding in full leaves of images: their shapes."""
    paths = [shard.path for shard in imagenet.shards["train"]]

    @tf.autograph.experimental.do_not_convert
    def decode(record):
        return tf.shape(tf.io.decode_jpeg(parse_example(record)[0], channels=3))

    records = tf.data.TFRecordDataset(paths).repeat()
    shapes = records.map(decode, NUM_DECODERS, deterministic=False)
    return shapes.batch(batch_size).prefetch(4)


def _augment_rate(feed, inputs, batch_size):
    """Images a second of what is done on the device."""
    augment = tf.function(lambda inputs: tf.reduce_sum(feed.prepare(inputs)), autograph=False)
    augment(inputs).numpy()
    start = time.perf_counter()
    augment(inputs).numpy()
    return batch_size / (time.perf_counter() - start)
