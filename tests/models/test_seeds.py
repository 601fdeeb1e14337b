"""Dropout draws anew at every place of the network."""

import dataclasses

import numpy as np
import pytest

import resnet
from resnet.models import residual


@pytest.mark.parametrize("name", ["resnet-test", "revnet-test"])
def test_every_residual_function_of_every_stage_has_a_seed_of_its_own(name, monkeypatch):
    config = dataclasses.replace(resnet.get_config(name), dropout=0.3)
    model, seeds, dropout = resnet.get_model(config, backprop="stored"), [], residual.dropout

    def watched(x, rate, seed):
        seeds.append(tuple(seed.numpy()))
        return dropout(x, rate, seed)

    monkeypatch.setattr(residual, "dropout", watched)
    size = config.image_size
    images = np.random.default_rng(0).standard_normal([2, size, size, 3], np.float32)
    model.forward_and_backward(images, np.zeros(2, np.int32), (3, 4))
    num_functions = sum(config.units) * (2 if config.family == "revnet" else 1)
    assert len(set(seeds)) == len(seeds) == num_functions
    assert {first for first, _ in seeds} == {3}  # the step's
