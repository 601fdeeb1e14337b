"""The memory of a training step: its figures, and their text."""

import collections
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from resnet.table import aligned

MB = 2**20  # as tools that show a process's size have it
# Fitted to what processes take; docs/measurements.md has them.
BYTES_PER_OPERATION = 40_000
PROCESS_BYTES = 20 * MB


@dataclasses.dataclass(frozen=True)
class KeptTensor:
    """A tensor in memory.

    Attributes:
      num_bytes: its size.
      name: of the operation that makes it.
      place: the stage or layer, and the unit, that make it; "" outside of all.
      kind: one of graph_memory's, in words.
      reason: what it waits for; "" of one that is on its way.
    """

    num_bytes: int
    name: str
    place: str
    kind: str
    reason: str = ""

    @property
    def part(self) -> str:
        """The stage or layer that makes it."""
        return self.place.split("/")[0] or "elsewhere"


@dataclasses.dataclass
class MemoryReport:
    """The memory of a training step on one device.

    Attributes:
      title: of what.
      kept: [KeptTensor] that the forward pass leaves for the backward pass, largest first.
      at_peak: [KeptTensor] when tensors take most.
      moment: when that is, in words.
      weight_bytes: all variables of the model.
      optimizer_bytes: what its optimizer keeps of them.
      num_operations: of the graph.
      warnings: why memory does not go down, one sentence each.
      measured: {how: bytes of variables and of a process's growth by steps}.
    """

    title: str
    kept: list[KeptTensor]
    at_peak: list[KeptTensor]
    moment: str
    weight_bytes: int
    optimizer_bytes: int
    num_operations: int
    warnings: list[str]
    measured: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def kept_bytes(self) -> int:
        """Bytes of activations that the forward pass leaves for the backward pass."""
        return sum(t.num_bytes for t in self.kept)

    @property
    def peak_bytes(self) -> int:
        """Bytes of activations and gradients at the peak."""
        return sum(t.num_bytes for t in self.at_peak)

    @property
    def parts(self) -> dict[str, int]:
        """{what: predicted bytes of the process}, in order; their sum is `total_bytes`."""
        return {
            "weights": self.weight_bytes,
            "what the optimizer keeps": self.optimizer_bytes,
            **sums_of(self.at_peak, lambda t: t.kind),
            f"graph of {self.num_operations:,} operations": (
                BYTES_PER_OPERATION * self.num_operations
            ),
            "TensorFlow's first step": PROCESS_BYTES,
        }

    @property
    def total_bytes(self) -> int:
        """Predicted bytes of variables and of the process's growth by steps."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        kept = sums_of(self.kept, lambda t: (t.part, t.kind, t.reason))
        counts = collections.Counter((t.part, t.kind, t.reason) for t in self.kept)
        peak = sums_of(self.at_peak, lambda t: (t.part, t.kind))
        totals = [(n, what) for what, n in self.parts.items()]
        totals.append((self.total_bytes, "in all, predicted"))
        totals += [(n, f"measured, {how}") for how, n in self.measured.items()]
        return "\n".join(
            [
                self.title,
                "",
                f"Kept for the backward pass: {in_mb(self.kept_bytes)} MB",
                _table(
                    ("tensors", "made in", "kind", "why it is kept"),
                    [(n, str(counts[key]), *key) for key, n in kept.items()],
                ),
                "",
                f"At the peak, {self.moment}: {in_mb(self.peak_bytes)} MB",
                _table(("made in", "kind"), [(n, *key) for key, n in peak.items()]),
                "",
                "The process",
                _table(("of what",), totals),
                *(f"\nwarning: {text}" for text in self.warnings),
            ]
        )


def sums_of(tensors: Iterable[KeptTensor], key: Callable[[KeptTensor], Any]) -> dict[Any, int]:
    """{key of a tensor: bytes}, most first."""
    found: collections.Counter[Any] = collections.Counter()
    for tensor in tensors:
        found[key(tensor)] += tensor.num_bytes
    return dict(found.most_common())


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Lines of (bytes, texts...), without those that would show as 0.0 MB."""
    shown = [[in_mb(size), *texts] for size, *texts in rows if size >= MB / 20]
    return aligned([["MB", *header], *shown], right=(0,))


def in_mb(count: int) -> str:
    return f"{count / MB:,.1f}"
