"""What a reader of another project's checkpoints returns."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Tensors:
    """The content of a checkpoint under this project's public names.

    weights: {public name: array}, moving averages too.
    momentum: {public name: array}, of some weights or none.
    step: number of updates, or None if the checkpoint does not say.
    ignored: the checkpoint's own names of what no model has a use for.
    """

    weights: dict
    momentum: dict = dataclasses.field(default_factory=dict)
    step: int | None = None
    ignored: tuple = ()
