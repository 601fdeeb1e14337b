#!/usr/bin/env python3
"""Evaluates checkpoints of an ImageNet experiment, on a GPU of their own if there is one.

Examples:

    ./run_imagenet_eval.py --id EXP
    ./run_imagenet_eval.py --id EXP --ckpt_num 5000
    CUDA_VISIBLE_DEVICES=4 ./run_imagenet_eval.py --id EXP --follow

Prints top-1 and top-5 accuracy on 100 batches of training images and on every
validation image, and appends them to the experiment's logs.
"""

from resnet.venv import run_in_venv

if __name__ == "__main__":
    run_in_venv(__file__)

from resnet.commands import cli
from resnet.commands.imagenet_eval import define_flags, main

if __name__ == "__main__":
    define_flags()
    cli.run(main, starts_devices=False)
