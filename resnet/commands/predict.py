"""Says what is on images: names of classes, with probabilities.

    resnet predict cat.jpg dog.png --model revnet-38 --weights cifar-10
    resnet predict cat.jpg --weights ./published/revnet-38_folder
    resnet predict cat.jpg --id EXP

Takes images of any size, in any format that Pillow reads; the middle square of each is shrunk or
enlarged to what the network takes. `resnet weights` lists the weights there are; `--id` takes an
experiment of your own, of which `resnet publish` makes such a folder.
"""

import os

from resnet.commands import options
from resnet.errors import DataError, print_error

MODEL = "revnet-38"  # of weights that come with the package
ESSENTIAL = ("model", "weights", "id", "top")
POSITIONAL = ("IMAGE...",)


def define_flags(flags):
    """Defines the command's flags."""
    default = f"{MODEL}, or that of the folder"
    options.define_weights_flags(flags, weights="cifar-10", default_model=default)
    options.define_results_flags(flags, None, "Experiment, in place of trained weights.")
    options.define_best_flag(flags)
    flags.integer("Listing", "top", "How many classes to name for each image.", 3, low=1)


def main(flags, *paths):
    """Prints a line for each image and class."""
    import numpy as np
    import tensorflow as tf

    from resnet.data.photos import read_photo
    from resnet.training.placement import place

    place(num_gpu=0)
    classify, image_size, names = _experiment(flags) if flags.is_given("id") else _weights(flags)
    code = 0
    for path in paths:
        try:
            image = read_photo(path, image_size)
        except DataError as error:  # the others are looked at all the same
            print_error(error)
            code = error.exit_code
            continue
        probabilities = tf.nn.softmax(classify(image[None])[0]).numpy()
        print(path)
        for i in np.argsort(-probabilities, kind="stable")[: flags.top]:
            print(f"  {100 * probabilities[i]:6.2f} %  {names[i]}")
    return code


def _experiment(flags):
    """(pixels -> logits, side of the images, names of the classes) of an experiment."""
    from resnet.training.loading import load

    options.require_no(flags, ("model", "weights"), "--id, which names a network that has its own")
    network = load(flags.id, results=flags.results, best=flags.best)
    num_classes = network.output_shape[-1]
    names = network.label_names or [f"class {i}" for i in range(num_classes)]
    return network, network.input_shape[1], names


def _weights(flags):
    """The same of trained weights."""
    from resnet.models import get_model
    from resnet.pretrained import open_pretrained

    options.require_no(flags, ("results", "best"), "trained weights")
    name = flags.model or (
        open_pretrained(flags.weights).model if os.sep in flags.weights else MODEL
    )
    model = get_model(name, weights=flags.weights)
    return (lambda images: model(model.prepare(images))), model.config.image_size, model.label_names
