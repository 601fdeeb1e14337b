#!/usr/bin/env python3
"""Trains a ResNet or RevNet on CIFAR-10, CIFAR-100 or the embedded data set: see --help."""

from resnet.venv import run_in_venv

if __name__ == "__main__":
    run_in_venv(__file__)

from resnet.commands.cli import run_script

if __name__ == "__main__":
    run_script("train-cifar")
