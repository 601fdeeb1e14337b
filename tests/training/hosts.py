"""One of two hosts that train 5 steps in step; see test_steps.py.

TF_CONFIG=... python hosts.py SHARDS OUTPUT.npz
"""

import dataclasses
import sys

import numpy as np

from resnet.commands import cli  # noqa: F401  (it loads TensorFlow)

import tensorflow as tf  # isort: skip

import resnet
from resnet.data.feed import Share
from resnet.data.imagenet.input import imagenet_feed, open_imagenet
from resnet.training.optimizer import make_optimizer
from resnet.training.placement import find_hosts, place
from resnet.training.steps import Steps

shards, output = sys.argv[1:]
placement = place(hosts=find_hosts())
config = dataclasses.replace(
    resnet.get_config("revnet-56"),
    image_size=32,
    units=(1, 1, 1, 1),
    stem_filters=8,
    filters=(4, 4, 8, 8),
    num_classes=4,
)
with placement.strategy.scope():
    # Seeds of their own: the first host's weights must hold.
    model = resnet.get_model(dataclasses.replace(config, seed=placement.hosts.index))
    optimizer = make_optimizer(model)
feed = imagenet_feed(open_imagenet(shards, 4), config, deterministic=True)
steps = Steps(model, optimizer, placement.strategy, prepare=feed.prepare)
share = Share(4, 1, len(placement.hosts), placement.hosts.index)
batches = iter(
    placement.strategy.distribute_datasets_from_function(lambda _: feed.training(0, share))
)
seen = []
for _ in range(5):
    inputs, labels = next(batches)
    seen.append(placement.strategy.experimental_local_results(labels)[0].numpy())
    steps.train(inputs, labels, tf.constant(0.1))
np.savez(output, labels=np.concatenate(seen), **model.get_weights())
