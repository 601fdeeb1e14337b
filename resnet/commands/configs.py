"""Lists all named configs: family, parameters, multiply-adds and source.

    python -m resnet.configs

Parameters are the trainable ones, with the config's own number of classes; multiply-adds
are those of one image's forward pass.
"""

from resnet.commands import cli
from resnet.configs import get_config, list_configs, source_of
from resnet.models import Network
from resnet.models.cost import multiply_adds
from resnet.table import aligned

HEADER = ("config", "family", "image", "parameters", "multiply-adds", "source")


def rows():
    """A row of texts for each config."""
    for name in list_configs():
        config = get_config(name)
        network = Network(config)
        yield (
            name,
            config.family,
            f"{config.image_size}x{config.image_size}",
            f"{network.num_parameters:,}",
            f"{multiply_adds(network) / 1e6:,.1f} M",
            source_of(name),
        )


def main():
    """Prints the table."""
    print(aligned([HEADER, *rows()], right=(3, 4)))


if __name__ == "__main__":
    cli.run(main)
