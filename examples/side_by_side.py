"""Trains a network with stored and with reversible backprop, each in a process of its own."""

import argparse
import json
import statistics
import sys
import time

from resnet.commands.benchmark.fresh_process import in_fresh_process
from resnet.process_memory import peak_over, size_now
from resnet.quiet import load_tensorflow

load_tensorflow()  # here, so that whatever imports this first loads it quietly

BACKPROPS = ("stored", "reversible")


def side_by_side(make, num_steps, what="a step"):
    """Prints memory and time of both, from the same weights and data.

    Args:
      make: `make(backprop) -> step`: step() trains and returns the loss.
      num_steps: calls of step(), the first of which (it builds the graph) is not timed.
      what: what step() does, such as "an epoch".
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--backprop", choices=BACKPROPS, help="only this one; prints JSON")
    backprop = parser.parse_args().backprop
    if backprop:
        print(json.dumps(_measure(make(backprop), num_steps)))
        return
    found = {}
    for backprop in BACKPROPS:
        command = [sys.executable, sys.argv[0], "--backprop", backprop]
        found[backprop] = in_fresh_process(command)
    rows = {
        "peak memory, MB": "peak_mb",  # over the size before the first step
        f"seconds {what}": "seconds",
        "loss at first": "first_loss",
        f"loss of number {num_steps}": "last_loss",
    }
    print(f"{'':<22}" + "".join(f"{name:>12}" for name in BACKPROPS))
    for title, field in rows.items():
        print(f"{title:<22}" + "".join(f"{found[name][field]:>12.3f}" for name in BACKPROPS))
    memory, seconds = (
        found["reversible"][field] / found["stored"][field] for field in ("peak_mb", "seconds")
    )
    print(f"reversible takes {memory:.2f} of the memory and {seconds:.2f} of the time")


def _measure(step, num_steps):
    before, seconds, losses = size_now(), [], []
    for _ in range(num_steps):
        start = time.perf_counter()
        losses.append(float(step()))
        seconds.append(time.perf_counter() - start)
    return {
        "peak_mb": peak_over(before),
        "seconds": statistics.median(seconds[1:]),
        "first_loss": losses[0],
        "last_loss": losses[-1],
    }
