"""A network's blocks as a table, for people."""

from resnet.models.cost import multiply_adds, stage_sides
from resnet.models.layers import IMAGE_CHANNELS
from resnet.models.network import Network
from resnet.table import aligned


def summary_text(network: Network) -> str:
    """Each block's output for one image (H, W, C) and parameters; what the whole costs.

    Args:
      network: Network.
    """
    config, computation = network.config, network.computation
    counts = _parameters(network)
    side = network.stem.out_side(config.image_size)
    rows: list[tuple[str, ...]] = [("block", "units", "output", "parameters")]
    rows.append(_row("stem", "", (side, side, config.stem_filters or IMAGE_CHANNELS), counts))
    for s, side in enumerate(stage_sides(network), 1):
        shape = (side, side, config.stage_channels[s - 1])
        rows.append(_row(f"stage {s}", str(config.units[s - 1]), shape, counts))
    rows.append(_row("head", "", network.output_shape, counts))
    exact = ", exact stream" if computation.exact else ""
    return "\n".join(
        [
            f"{config.name}: {network.family.units_name(config)}, {computation.dtype}{exact}, "
            f"backprop {computation.backprop}",
            aligned(rows, right=(1, 3)),
            f"{network.num_parameters:,} parameters, {multiply_adds(network):,} multiply-adds an "
            "image",
        ]
    )


def _row(block: str, units: str, shape: tuple[int, ...], counts: dict[str, int]) -> tuple[str, ...]:
    return (block, units, " x ".join(map(str, shape)), f"{counts.get(block, 0):,}")


def _parameters(network: Network) -> dict[str, int]:
    """{block: number of trainable parameters}."""
    stem, counts = network.stem.parameters(), dict[str, int]()
    for name, parameter, public in network.storage():
        stage, _, _ = name.partition("/")
        block = stage.replace("_", " ") if stage.startswith("stage_") else "head"
        block = "stem" if name in stem else block
        size = 0 if parameter.is_statistic else parameter.size * len(public)
        counts[block] = counts.get(block, 0) + size
    return counts
