"""The embedded data set, which needs no files: data/cifar/synthetic.py draws it."""

from resnet.data.entry import InMemory


def load(_):
    """The Dataset."""
    from resnet.data.cifar import synthetic

    return synthetic.load()


ENTRY = InMemory(
    name="synthetic",
    num_classes=10,
    num_training_images=10_000,
    channels=((0.3634, 0.3671, 0.3637), (0.2586, 0.2575, 0.2565)),
    load=load,
)
