"""Pictures of experiments: `python -m resnet plot ID...`."""
