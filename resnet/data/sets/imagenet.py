"""ImageNet, or any data set whose shards have its format: data/imagenet/ builds and reads them."""

from resnet.data.entry import IMAGENET_PREPROCESSORS, Streamed


def classes(folder):
    """Names of the classes."""
    from resnet.data.imagenet.index import known_index

    return known_index(folder).synsets


def load(folder, num_classes, splits=("train",)):
    """The opened ImageNet."""
    from resnet.data.imagenet.input import open_imagenet

    return open_imagenet(folder, num_classes, splits)


def feed(imagenet, config, deterministic):
    """The Feed of its training images."""
    from resnet.data.imagenet.input import imagenet_feed

    return imagenet_feed(imagenet, config, deterministic)


def evaluation_batches(imagenet, config, split, batch_size, num_images):
    """Images of a split, each once, in order, unaugmented."""
    from resnet.data.imagenet import input as imagenet_input

    return imagenet_input.evaluation_batches(imagenet, config, split, batch_size, num_images)


def find_damage(imagenet, config, split, error):
    """The shard and the record that an error is of."""
    from resnet.data.imagenet import input as imagenet_input

    return imagenet_input.find_damage(imagenet, config, split, error)


ENTRY = Streamed(
    name="imagenet",
    preprocessors=IMAGENET_PREPROCESSORS,
    classes=classes,
    load=load,
    feed=feed,
    evaluation_batches=evaluation_batches,
    find_damage=find_damage,
)
