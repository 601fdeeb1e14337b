#!/usr/bin/env python3
"""Trains a ResNet or RevNet on CIFAR-10, CIFAR-100 or the embedded synthetic data set.

Examples:

    ./run_cifar_train.py --dataset cifar-10 --model revnet-38
    ./run_cifar_train.py --dataset synthetic --max_num_steps 300
    ./run_cifar_train.py --restore --id EXP

With 2 cores, revnet-38 takes some 0.4 s a step of 100 images.
"""

from resnet.venv import run_in_venv

if __name__ == "__main__":
    run_in_venv(__file__)

from resnet.commands import cli
from resnet.commands.cifar_train import define_flags, main

if __name__ == "__main__":
    define_flags()
    cli.run(main, starts_devices=False)
