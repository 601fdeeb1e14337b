"""Other projects' checkpoints, by project: a reader each that gives them public names."""

from resnet.weights.sources import cifar_vs_tensorflow2, revnet_public, tf_eager_revnet

# source -> (Network, checkpoint prefix) -> Tensors
SOURCES = {
    "revnet-public": revnet_public.read,
    "cifar-vs-tensorflow2": cifar_vs_tensorflow2.read,
    "tf-eager-revnet": tf_eager_revnet.read,
}
