"""What an image takes while a flow trains, against the flow's depth.

    .venv/bin/python examples/flow_depth.py

Glow on one level of 32x32 images. MB an image are the slope of the peak between two batch sizes, a
process for each. Stored backprop is measured up to 32 units: it takes GB beyond.
"""

import side_by_side  # noqa: F401, first, because it loads TensorFlow quietly

# isort: split
import argparse
import json
import sys

import keras
import numpy as np

from resnet import reversible
from resnet.commands.benchmark.fresh_process import in_fresh_process
from resnet.process_memory import peak_over, return_free_memory, size_now

UNITS, STORED_UNITS = (8, 16, 32, 64), (8, 16, 32)
BATCHES = (32, 96)
STEPS = 3


def peak(backprop, num_units, batch_size):
    """MB that training takes over the size of the process before it."""
    flow = reversible.get_flow("glow", num_levels=1, num_units=num_units, backprop=backprop)
    flow.compile(keras.optimizers.Adam(1e-3))
    images = np.random.default_rng(0).integers(0, 256, [batch_size, 32, 32, 3])
    return_free_memory()
    before = size_now()
    flow.fit(images, epochs=STEPS, batch_size=batch_size, verbose=0)
    return peak_over(before)


def an_image(backprop, num_units):
    """MB an image, as text."""
    peaks = []
    for batch_size in BATCHES:
        command = [sys.executable, __file__, "--one", backprop, str(num_units), str(batch_size)]
        peaks.append(in_fresh_process(command)["peak_mb"])
    return f"{(peaks[1] - peaks[0]) / (BATCHES[1] - BATCHES[0]):.2f}"


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, metavar=("BACKPROP", "UNITS", "BATCH"))
    if one := parser.parse_args().one:
        print(json.dumps({"peak_mb": peak(one[0], int(one[1]), int(one[2]))}))
        return
    print(f"{'units':>5} {'reversible':>12} {'stored':>8}   MB an image")
    for num_units in UNITS:
        stored = an_image("stored", num_units) if num_units in STORED_UNITS else ""
        print(f"{num_units:>5} {an_image('reversible', num_units):>12} {stored:>8}", flush=True)


if __name__ == "__main__":
    main()
