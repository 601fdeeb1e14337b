"""Says what is on images: names of classes, with probabilities.

    resnet predict cat.jpg dog.png --model revnet-38 --weights cifar-10
    resnet predict cat.jpg --weights ./published/revnet-38_folder

Takes images of any size, in any format that Pillow reads; the middle square of each is shrunk or
enlarged to what the network takes. `resnet weights` lists the weights there are; of an experiment
of your own, `resnet publish --id EXP` makes such a folder.
"""

import os

from resnet.commands import options
from resnet.errors import DataError, print_error

MODEL = "revnet-38"  # of weights that come with the package
ESSENTIAL = ("model", "weights", "top")
POSITIONAL = ("IMAGE...",)


def define_flags(flags):
    """Defines the command's flags."""
    default = f"{MODEL}, or that of the folder"
    options.define_weights_flags(flags, weights="cifar-10", default_model=default)
    flags.integer("Listing", "top", "How many classes to name for each image.", 3, low=1)


def main(flags, *paths):
    """Prints a line for each image and class."""
    import numpy as np
    import tensorflow as tf

    from resnet.data.photos import read_photo
    from resnet.models import get_model
    from resnet.pretrained import open_pretrained
    from resnet.training.placement import place

    place(num_gpu=0)
    name = flags.model or (
        open_pretrained(flags.weights).model if os.sep in flags.weights else MODEL
    )
    model = get_model(name, weights=flags.weights)
    code = 0
    for path in paths:
        try:
            image = read_photo(path, model.config.image_size)
        except DataError as error:  # the others are looked at all the same
            print_error(error)
            code = error.exit_code
            continue
        probabilities = tf.nn.softmax(model(model.prepare(image))[0]).numpy()
        print(path)
        for i in np.argsort(-probabilities, kind="stable")[: flags.top]:
            print(f"  {100 * probabilities[i]:6.2f} %  {model.label_names[i]}")
    return code
