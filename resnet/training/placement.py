"""Where a run computes: on one device, on several of one host, or on several hosts."""

import dataclasses
import json
import os

import tensorflow as tf

from resnet.errors import UsageError
from resnet.quiet import quietly

TF_CONFIG = "TF_CONFIG"
TF_CONFIG_FORM = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Hosts:
    """The hosts that train in step, one process each; by default this one alone."""

    addresses: tuple = ("localhost",)
    index: int = 0  # of this one

    def __len__(self):
        return len(self.addresses)

    @property
    def is_chief(self):
        """Whether this one writes logs and checkpoints."""
        return self.index == 0


@dataclasses.dataclass(frozen=True)
class Placement:
    """A distribution strategy and what it spans.

    Attributes:
      strategy: tf.distribute.Strategy to build and run a model under.
      devices: names of this host's devices, one replica each.
      hosts: Hosts.
    """

    strategy: tf.distribute.Strategy
    devices: tuple
    hosts: Hosts = Hosts()

    @property
    def num_replicas(self):
        """Number of replicas over all hosts."""
        return len(self.devices) * len(self.hosts)

    @property
    def uses_gpu(self):
        """Whether it computes on GPUs."""
        return "gpu" in self.devices[0]

    @property
    def gpu_names(self):
        """What this host's GPUs are called by their maker, one a device."""
        gpus = tf.config.list_physical_devices("GPU")[: len(self.devices)] if self.uses_gpu else []
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return [detail.get("device_name", "GPU") for detail in details]

    def __str__(self):
        text = ", ".join(self.devices)
        if len(self.hosts) > 1:
            here = f"{self.hosts.index + 1}, {self.hosts.addresses[self.hosts.index]}"
            text += f" on each of {len(self.hosts)} hosts, this one number {here}"
        return text


def place(num_gpu=None, logical_cpus=None, all_gpus=False, hosts=None):
    """Chooses this process's devices. To be called before TensorFlow starts them.

    Args:
      num_gpu: GPUs of this host to use, 0 for the CPU; None: what is visible, at most
        one unless `all_gpus`.
      logical_cpus: split the CPU into as many replicas instead.
      all_gpus: see num_gpu.
      hosts: Hosts; with more than one, waits until all of them have connected.

    Returns:
      Placement.

    Raises:
      UsageError: more GPUs than TensorFlow sees, or arguments that exclude each other.
    """
    hosts = hosts or Hosts()
    with quietly():
        gpus = tf.config.list_physical_devices("GPU")
    wanted = (len(gpus) if all_gpus else min(len(gpus), 1)) if num_gpu is None else num_gpu
    if wanted > len(gpus):
        raise UsageError(
            f"--num_gpu is {wanted}, but TensorFlow sees {len(gpus)}: give at most {len(gpus)}"
            + (" (0 trains on the CPU)" if not gpus else "")
        )
    require_one_place(num_gpu, logical_cpus)
    if logical_cpus and len(hosts) > 1:
        raise UsageError(
            f"--logical_cpus {logical_cpus} does not go with the {len(hosts)} hosts of "
            f"{TF_CONFIG}: each has one replica on its CPU. Leave one of them out"
        )
    wanted = 0 if logical_cpus else wanted
    devices = tuple(f"/gpu:{i}" for i in range(wanted)) or tuple(
        f"/cpu:{i}" for i in range(logical_cpus or 1)
    )
    with quietly():
        if wanted < len(gpus):
            tf.config.set_visible_devices(gpus[:wanted], "GPU")  # other runs may have the rest
        if logical_cpus:
            (cpu,) = tf.config.list_physical_devices("CPU")
            parts = [tf.config.LogicalDeviceConfiguration()] * logical_cpus
            tf.config.set_logical_device_configuration(cpu, parts)
    if len(hosts) > 1:
        others = ", ".join(a for i, a in enumerate(hosts.addresses) if i != hosts.index)
        print(f"host {hosts.index + 1} of {len(hosts)}, waiting for {others}", flush=True)
    with quietly():
        strategy = _strategy(devices, hosts)
    return Placement(strategy, devices, hosts)


def require_one_place(num_gpu, logical_cpus):
    """Checks that not both of GPUs and parts of the CPU are asked for.

    Raises:
      UsageError: they are.
    """
    if logical_cpus and num_gpu:
        raise UsageError(
            f"--logical_cpus {logical_cpus} and --num_gpu {num_gpu} exclude each other: leave one "
            "of them out"
        )


def _strategy(devices, hosts):
    if len(hosts) > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy(devices)
    if "gpu" in devices[0]:
        return tf.distribute.OneDeviceStrategy(devices[0])  # it brings batches to the GPU ahead
    tf.config.list_logical_devices()  # starts them
    return tf.distribute.get_strategy()


def find_hosts():
    """The Hosts of the cluster that the environment's TF_CONFIG describes.

    Raises:
      UsageError: it makes no sense.
    """
    text = os.environ.get(TF_CONFIG)
    if not text:
        return Hosts()
    try:
        content = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        if unknown := sorted(cluster.keys() - {"chief", "worker"}):
            raise ValueError(f"it has tasks of type {unknown[0]!r}")
        chief, workers = cluster.get("chief", []), cluster.get("worker", [])
        index = int(task["index"])
        if not 0 <= index < len(cluster[task["type"]]):
            raise ValueError(f"its task, {task['type']} {index}, is not in its cluster")
        addresses = (*chief, *workers)
        if not all(":" in address for address in addresses):
            raise ValueError("an address has no port")
        return Hosts(addresses, index + (len(chief) if task["type"] == "worker" else 0))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        detail = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise UsageError(
            f"{TF_CONFIG} is {text!r}, which describes no cluster ({detail}): unset it to train "
            f"on one host, or give something like {TF_CONFIG_FORM}"
        ) from None
