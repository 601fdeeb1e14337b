#!/usr/bin/env python3
"""Trains a ResNet or RevNet on ImageNet by synchronous SGD, on all GPUs of one or more hosts.

Examples:

    ./run_imagenet_train.py --model revnet-104
    ./run_imagenet_train.py --model revnet-56 --num_gpu 1 --num_pass 4
    ./run_imagenet_train.py --restore --id EXP

./setup.sh --imagenet RAW_DIR makes the data; ./run_imagenet_eval.py evaluates. With
TF_CONFIG in the environment, several hosts train in step.
"""

from resnet.venv import run_in_venv

if __name__ == "__main__":
    run_in_venv(__file__)

from resnet.commands import cli
from resnet.commands.imagenet_train import define_flags, main

if __name__ == "__main__":
    define_flags()
    cli.run(main, starts_devices=False)
