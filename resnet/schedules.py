"""Learning rates over a training, as functions of the step.

`step` counts updates from 0; it may be the last one's too, for what is logged there.
"""

import math
from collections.abc import Sequence

SCHEDULES = ("piecewise", "cosine", "linear", "one_cycle")
# One cycle begins at a fraction of its peak, and ends at a fraction of that.
ONE_CYCLE_START, ONE_CYCLE_END = 25, 10_000


def piecewise(step: int, rates: Sequence[float], boundaries: Sequence[int]) -> float:
    """The rate that holds between two boundaries; one begins at its boundary."""
    return rates[sum(step >= boundary for boundary in boundaries)]


def cosine(start: float, end: float, part: float) -> float:
    """From `start` to `end` along half a cosine (Loshchilov & Hutter 2017,
    https://arxiv.org/abs/1608.03983); `part` of the way, in [0, 1]."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def linear(start: float, end: float, part: float) -> float:
    """From `start` to `end` along a line."""
    return start + (end - start) * part


def one_cycle(step: int, peak: float, num_up: int, num_steps: int) -> float:
    """Up from peak / 25 in `num_up` steps, then down to nearly nothing, both along cosines.

    Smith & Topin 2018, https://arxiv.org/abs/1708.07120, as PyTorch's OneCycleLR has it: the
    peak is the last step's on the way up. The momentum stays what it is.
    """
    start, top = peak / ONE_CYCLE_START, num_up - 1
    if step < top:
        return cosine(start, peak, step / top)
    return cosine(peak, start / ONE_CYCLE_END, _part(step, top, num_steps - 1))


def _part(step: int, first: int, end: int) -> float:
    """How far a step is from `first` to `end`, in [0, 1]."""
    return min(1.0, (step - first) / max(1, end - first))


def learning_rate(
    schedule: str,
    step: int,
    rates: Sequence[float],
    boundaries: Sequence[int],
    num_warmup: int,
    num_steps: int,
) -> float:
    """The learning rate of an update.

    Args:
      schedule: one of SCHEDULES.
      step: number of updates done.
      rates: of "piecewise" one after the other; of others the peak alone.
      boundaries: steps from which the next of them holds.
      num_warmup: steps in which the rate rises in proportion to them, the first of them included,
        to what the schedule begins with; of "one_cycle", along a cosine.
      num_steps: of the whole training, at whose end all but "piecewise" have come down to 0.
    """
    if schedule == "one_cycle":
        return one_cycle(step, rates[0], num_warmup, num_steps)
    if schedule == "piecewise":
        rate = piecewise(step, rates, boundaries)
    else:
        fall = {"cosine": cosine, "linear": linear}[schedule]
        rate = fall(rates[0], 0.0, _part(max(step, num_warmup), num_warmup, num_steps))
    return rate * (step + 1) / num_warmup if step < num_warmup else rate
