#!/usr/bin/env python3
"""Trains a ResNet or RevNet on ImageNet by synchronous SGD on several GPUs: see --help."""

from resnet.venv import run_in_venv

if __name__ == "__main__":
    run_in_venv(__file__)

from resnet.commands.cli import run_script

if __name__ == "__main__":
    run_script("train-imagenet")
