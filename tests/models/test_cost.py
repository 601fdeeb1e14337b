"""What is predicted of memory: bounds that any right prediction keeps."""

import dataclasses

import pytest

import resnet
from resnet.models import Network, computation_for
from resnet.models.cost import activation_bytes

CONFIG = dataclasses.replace(resnet.get_config("revnet-test"), units=(6, 6))


def network(backprop, memory_budget=None, config=CONFIG):
    asked = {"backprop": backprop, "memory_budget": memory_budget}
    return Network(config, computation_for(config, **asked))


def test_units_that_are_all_kept_take_what_stored_backprop_takes():
    stored, kept = network("stored"), network("reversible", 10**9)
    assert [stage.num_kept for stage in kept.stages] == [6, 6]
    assert activation_bytes(stored) <= activation_bytes(kept)
    # Beside them, one unit is walked back.
    assert activation_bytes(kept) < 1.5 * activation_bytes(stored)


@pytest.mark.parametrize("backprop", ["stored", "reversible", "checkpoint"])
def test_what_grows_with_depth(backprop):
    double = dataclasses.replace(CONFIG, units=(12, 12))
    growth = activation_bytes(network(backprop, config=double)) - activation_bytes(
        network(backprop)
    )
    # A half is 8 * 8 * 8 values of 4 bytes in stage 1, half as many in stage 2.
    halves = 6 * (2 * 8 * 8 * 8 * 4 + 2 * 4 * 4 * 16 * 4)
    # Stored: beside the halves, two inputs of convolutions and one of a batch norm each.
    assert growth == {"reversible": 0, "checkpoint": halves, "stored": 4 * halves}[backprop]
