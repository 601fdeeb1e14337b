"""Other projects' checkpoints, by project: a reader each that gives them public names."""

import importlib

# source -> module that reads its checkpoints
SOURCES = {
    "revnet-public": "revnet_public",
    "cifar-vs-tensorflow2": "cifar_vs_tensorflow2",
    "tf-eager-revnet": "tf_eager_revnet",
}


def read_source(source, network, checkpoint):
    """The Tensors of a project's checkpoint, given the Network that it is of."""
    return importlib.import_module(f"{__name__}.{SOURCES[source]}").read(network, checkpoint)
