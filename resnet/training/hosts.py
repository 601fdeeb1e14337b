"""What several hosts that train in step must know of each other."""

import contextlib
import dataclasses
import json
import re
import zlib

import tensorflow as tf

from resnet.errors import UserError
from resnet.weights.checkpoint import list_checkpoints

AGREE_EVERY = 10  # steps between questions whether a host was asked to stop
# What TensorFlow raises when a host of a collective operation is gone.
LOST_HOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
# What it raises for that too, but for much else as well: the text decides.
PERHAPS_LOST_HOST = (
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)
LOST_HOST_WORDS = re.compile(
    r"collective|coordination|heartbeat|connection (reset|refused)|socket closed|peer|"
    r"remote task|failed to connect|barrier",
    re.IGNORECASE,
)
AROUND = re.compile(r"^\{\{function_node [^}]*\}\} | \[Op:\w+\]( name:)?$")


def is_lost_host(error):
    """Whether a TensorFlow error says that another host is gone."""
    if isinstance(error, LOST_HOST):
        return True
    return isinstance(error, PERHAPS_LOST_HOST) and bool(LOST_HOST_WORDS.search(error.message))


class HostLostError(UserError):
    """Another host has ended, or cannot be reached any more."""


@contextlib.contextmanager
def naming_lost_hosts(hosts, results, resume):
    """Within it, what a lost host leads to is raised as HostLostError.

    Args:
      hosts: Hosts; if there is one alone, nothing changes.
      results: the experiment's folder of checkpoints.
      resume: command line that continues the run.
    """
    try:
        yield
    except (*LOST_HOST, *PERHAPS_LOST_HOST) as error:
        if len(hosts) == 1 or not is_lost_host(error):
            raise
        checkpoints = list_checkpoints(results)
        kept = f"the last checkpoint is step {max(checkpoints)}" if checkpoints else "none is saved"
        # All lines, for each may say which host, but not the operation around them.
        detail = AROUND.sub("", " ".join(error.message.split()))
        raise HostLostError(
            f"another host was lost ({detail}); {kept}. See what that host said, then "
            f"start all of them again, each with its TF_CONFIG: {resume}"
        ) from None


class Agreement:
    """Questions that every host of a placement answers at the same point."""

    def __init__(self, placement):
        self._placement = placement
        self._gather = tf.function(self._gather_all, autograph=False)

    def _gather_all(self, value):
        def gather(value):
            return tf.distribute.get_replica_context().all_gather(value[None], axis=0)

        (rows, *_) = self._placement.strategy.experimental_local_results(
            self._placement.strategy.run(gather, (value,))
        )
        return rows

    def _from_every_host(self, values):
        """What each host gave for `values`, a list of integers: (hosts, len(values))."""
        rows = self._gather(tf.constant(values, tf.int64)).numpy()
        return rows[:: len(self._placement.devices)]

    def any_host(self, flag):
        """Whether `flag` is true on any host."""
        if len(self._placement.hosts) == 1:
            return flag
        return bool(self._from_every_host([int(flag)]).any())

    def require_same_start(self, experiment, step, model):
        """Checks that all hosts start from the same point.

        Raises:
          UserError: configs, options, steps or weights differ.
        """
        if len(self._placement.hosts) == 1:
            return
        weights = model.get_weights()
        mine = {
            "config": _digest(experiment.config),
            "options": _digest(experiment.options),
            "step": step,
            "weights": zlib.crc32(b"".join(weights[name].tobytes() for name in sorted(weights))),
        }
        everyones = dict(zip(mine, self._from_every_host(list(mine.values())).T, strict=True))
        for name, values in everyones.items():
            if len(set(values)) > 1:
                raise UserError(
                    f"the hosts differ in {name} (they are at steps "
                    f"{', '.join(map(str, everyones['step']))}): --results must lie on storage "
                    "that all of them share, and all must be given the same flags"
                )


def _digest(fields):
    return zlib.crc32(json.dumps(dataclasses.asdict(fields), sort_keys=True).encode())
