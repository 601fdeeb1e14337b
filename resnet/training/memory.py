"""Memory that a training needs: said before it begins, and where it runs out."""

import contextlib

import tensorflow as tf

from resnet.errors import UserError, message_of
from resnet.models.cost import activation_bytes
from resnet.models.families import family_of
from resnet.process_memory import address_space, machine_bytes
from resnet.training.optimizer import bytes_per_parameter

# Address space that a tiny run takes, most of it TensorFlow's code and threads; measured with 2
# cores. Past a limit, its libraries end the process without a word.
TINY_RUN_BYTES = 2_400_000_000


def bytes_needed(experiment, placement):
    """Predicted bytes of a step's activations and of all parameters, over a host's devices."""
    network = experiment.make_network(placement.num_replicas)
    at_once = experiment.images_at_once(placement.num_replicas)
    of_parameters = bytes_per_parameter(experiment.config) * network.num_parameters
    of_device = activation_bytes(network) * at_once + of_parameters
    return of_device * len(placement.devices)


def require_memory(experiment, placement):
    """Checks that a training on the CPU may fit into memory; nothing is said of GPUs.

    Raises:
      UserError: it needs more than the machine has, or than the process may take.
    """
    if placement.uses_gpu:
        return
    remedy = _remedy(experiment)
    needed, there, limit = bytes_needed(experiment, placement), machine_bytes(), address_space()
    if there is not None and needed > there:
        raise UserError(f"{_need(experiment, needed)}, and this machine has {_gb(there)}: {remedy}")
    if limit is not None and needed + TINY_RUN_BYTES > limit:
        raise UserError(
            f"{_need(experiment, needed)} beside TensorFlow's own {_gb(TINY_RUN_BYTES)}, and this "
            f"process may take {_gb(limit)}: raise its limit (ulimit -v), {remedy}"
        )


@contextlib.contextmanager
def naming_memory(experiment, placement):
    """Within it, running out of memory says what the training needs, and what can be done."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        detail = str(error) if isinstance(error, MemoryError) else message_of(error)
        need = _need(experiment, bytes_needed(experiment, placement))
        found = f" ({detail})" if detail else ""
        raise UserError(f"out of memory{found}. {need}: {_remedy(experiment)}") from None


def _need(experiment, needed):
    config, options = experiment.config, experiment.options
    return (
        f"training needs about {_gb(needed)} with --batch_size {config.batch_size}, --backprop "
        f"{options.backprop} and --dtype {options.dtype} (predicted)"
    )


def _remedy(experiment):
    """The flags that lower what this training needs."""
    options = experiment.options
    lower = "--batch_size or --evaluation_batch_size"
    if options.memory_budget:
        lower = "--batch_size, --evaluation_batch_size or --memory_budget"
    choices = []
    less = {"stored": ["reversible", "checkpoint"], "checkpoint": ["reversible"]}
    others = less.get(options.backprop, [])
    if not family_of(experiment.config).is_reversible:
        others = [name for name in others if name != "reversible"]
    if others:
        choices.append(f"a --backprop that keeps less ({', '.join(others)})")
    if options.dtype == "float32":
        choices.append("--dtype bfloat16")
    if not choices:
        return f"lower {lower}, or raise --num_pass"
    return f"lower {lower}, raise --num_pass, or choose {' or '.join(choices)}"


def _gb(count):
    return f"{count / 1e9:,.2f} GB"
