"""Experiments from YAML files: `python -m resnet experiments FILE.yaml`."""
