"""Measurements: `python -m resnet benchmark`."""
