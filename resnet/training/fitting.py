"""Whether the options of a training go with each other, once it is known what it runs on."""

from resnet.settings import STOP, WARN, SettingError
from resnet.training.fused import require_no_other_use_of_gradients


def require_fitting(config, options, jit, num_replicas):
    """Checks what depends on several options; evaluation does without.

    Args:
      config, options: Config, RunOptions.
      jit: whether XLA compiles steps, as "auto" came out.
      num_replicas: int.

    Raises:
      SettingError: they do not go together; it names what to leave out.
    """
    if options.exact_policy == STOP and not options.exact:
        raise SettingError(
            f"exact_policy is {STOP!r}, but without exact mode, which is for RevNets, no value is "
            f"past a range: give {WARN!r}, or take exact mode",
            "exact_policy",
            "exact",
        )
    if options.fused_update:
        computation = options.computation
        require_no_other_use_of_gradients(config, options, computation, jit, num_replicas)
