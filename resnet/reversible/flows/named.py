"""Named flows of images of 0 to 255: `get_flow("glow")`."""

from typing import Any

import keras

from resnet.reversible.flows.flow import FLOW_COUPLINGS, Flow, require_known

# What each is made of; `get_flow` takes other values.
FLOWS: dict[str, dict[str, Any]] = {
    # Dinh et al. 2017, https://arxiv.org/abs/1605.08803; ActNorm in place of batch norm.
    "realnvp": {
        "coupling": "affine_tanh",
        "mixing": False,
        "num_levels": 3,
        "num_units": 4,
        "width": 64,
    },
    # Kingma & Dhariwal 2018, https://arxiv.org/abs/1807.03039; both halves move in each unit.
    "glow": {
        "coupling": "affine_sigmoid",
        "mixing": True,
        "num_levels": 3,
        "num_units": 8,
        "width": 64,
    },
}

NHWC: dict[str, Any] = {"data_format": "channels_last"}  # whatever Keras takes by default


def get_flow(name: str, image_size: int = 32, num_channels: int = 3, **changes: Any) -> Flow:
    """A named flow of square images of whole pixels, 0 to 255.

        flow = reversible.get_flow("glow", num_units=16)

    Args:
      name: "realnvp" or "glow".
      image_size: pixels a side, a multiple of 2 to the power of num_levels.
      num_channels: of the images.
      **changes: num_levels, num_units (of each level), width (channels inside F and G), and
        arguments of Flow.

    Raises:
      ValueError: no flow of that name, or what `Flow` refuses.
    """
    if name not in FLOWS:
        raise ValueError(f"unknown flow {name!r}: choose one of {', '.join(FLOWS)}")
    options: dict[str, Any] = {"pixel_levels": 256, "name": name} | FLOWS[name] | changes
    num_levels, num_units, width = (
        options.pop(key) for key in ("num_levels", "num_units", "width")
    )
    if "downsampling" in options and options["downsampling"] is None:
        raise ValueError(
            f"{name} halves the sides of its images at each level, but downsampling is None: take "
            "squeeze or haar, or make a Flow"
        )
    require_known("coupling", options["coupling"], FLOW_COUPLINGS)
    per_value = FLOW_COUPLINGS[options["coupling"]][1]
    levels, priors, channels = [], [], num_channels
    for _ in range(num_levels):
        channels *= 4
        half = channels // 2
        levels.append(
            [
                (_net(width, per_value * half), _net(width, per_value * (channels - half)))
                for _ in range(num_units)
            ]
        )
        priors.append(_last(channels))
        channels = half
    flow = Flow(levels, priors[:-1], **options)
    flow.build((None, image_size, image_size, num_channels))
    return flow


def _net(width: int, numbers: int) -> keras.Sequential:
    """F or G: 3x3, 1x1 and 3x3 convolutions, the last of zeros."""
    return keras.Sequential(
        [
            keras.layers.Conv2D(width, 3, padding="same", activation="relu", **NHWC),
            keras.layers.Conv2D(width, 1, activation="relu", **NHWC),
            _last(numbers),
        ]
    )


def _last(numbers: int) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(numbers, 3, padding="same", kernel_initializer="zeros", **NHWC)
