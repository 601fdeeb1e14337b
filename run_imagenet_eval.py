#!/usr/bin/env python3
"""Evaluates checkpoints of an ImageNet experiment, on a GPU of their own: see --help."""

from resnet.venv import run_in_venv

if __name__ == "__main__":
    run_in_venv(__file__)

from resnet.commands.cli import run_script

if __name__ == "__main__":
    run_script("evaluate")
