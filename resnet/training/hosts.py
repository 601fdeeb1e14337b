"""What several hosts that train in step must know of each other."""

import json
import zlib

import tensorflow as tf

from resnet.errors import UserError, message_of

# What TensorFlow raises when a host of a collective operation is gone.
LOST_HOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


class HostLostError(UserError):
    """Another host has ended, or cannot be reached any more."""

    def __init__(self, error, checkpoints):
        kept = f"the last checkpoint is step {max(checkpoints)}" if checkpoints else "none is saved"
        super().__init__(
            f"another host was lost ({message_of(error)}); {kept}. Start all hosts again with "
            "--restore"
        )


def _from_every_host(placement, value):
    """The values that each host gave for `value`, a list of integers; (hosts, len(value))."""
    strategy = placement.strategy
    per_host = strategy.run(lambda: tf.constant([value], tf.int64))
    return strategy.gather(per_host, axis=0).numpy()[:: len(placement.devices)]


def any_host(placement, flag):
    """Whether `flag` is true on any host; all of them must ask in the same step."""
    if len(placement.hosts) == 1:
        return flag
    return bool(_from_every_host(placement, [int(flag)]).any())


def require_agreement(placement, experiment, step, model):
    """Checks that all hosts start from the same point.

    Raises:
      UserError: configs, steps or weights differ.
    """
    if len(placement.hosts) == 1:
        return
    weights = model.get_weights()
    config = json.dumps(experiment.config.to_json(), sort_keys=True)
    mine = {
        "config": zlib.crc32(config.encode()),
        "step": step,
        "weights": zlib.crc32(b"".join(weights[name].tobytes() for name in sorted(weights))),
    }
    values = _from_every_host(placement, list(mine.values()))
    for i, name in enumerate(mine):
        if len(set(values[:, i])) > 1:
            steps = ", ".join(str(value) for value in values[:, list(mine).index("step")])
            raise UserError(
                f"the hosts differ in {name} (they are at steps {steps}): --results must lie on "
                "storage that all of them share, and all must be given the same flags"
            )
