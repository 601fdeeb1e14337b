"""How an experiment's images are prepared outside of its training."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import resnet
from resnet.data.imagenet.input import preprocessing_of
from resnet.data.registry import CIFAR, CIFAR_PREPROCESSORS, IMAGENET
from resnet.errors import UserError
from resnet.settings import RunOptions
from resnet.training.experiment import Experiment
from resnet.weights.trained import stored_preparation

PIXELS = np.random.default_rng(0).integers(0, 256, [2, 5, 7, 3]).astype(np.float32)


def experiment_of(folder, preprocessor, dataset):
    config = dataclasses.replace(resnet.get_config("revnet-38"), preprocessor=preprocessor)
    return Experiment("one", config, RunOptions(dataset=dataset), folder, folder)


@pytest.mark.parametrize("preprocessor", IMAGENET.preprocessors)
def test_imagenets_preparation_is_the_trainings_own(preprocessor):
    experiment = experiment_of(pathlib.Path("nowhere"), preprocessor, "imagenet")
    preparation = stored_preparation(experiment)
    wanted = preprocessing_of(experiment.config).scale(tf.constant(PIXELS))
    np.testing.assert_allclose(preparation(PIXELS), wanted, atol=2e-5)
    # What exports write down is this arithmetic.
    by_hand = (PIXELS - preparation.offset) / preparation.divisor
    np.testing.assert_allclose(by_hand, wanted, atol=2e-5)
    black = {"inception": [-1, -1, -1], "vgg": [-123.68, -116.78, -103.94]}[preprocessor]
    np.testing.assert_allclose(preparation(np.zeros([1, 1, 1, 3]))[0, 0, 0], black, rtol=1e-5)


@pytest.mark.parametrize("preprocessor", CIFAR_PREPROCESSORS)
def test_cifars_preparation_by_hand(preprocessor, tmp_path):
    mean = np.random.default_rng(1).uniform(0, 255, [32, 32, 3]).astype(np.float32)
    np.save(tmp_path / "mean_image.npy", mean)
    channels, deviations = map(np.array, CIFAR["cifar-100"].channels)
    images = np.random.default_rng(2).integers(0, 256, [3, 32, 32, 3], np.uint8)
    wanted = {
        "cifar": images - mean,
        "cifar-standard": (images / 255 - channels) / deviations,
        "cifar-unit": images / 255,
        "cifar-grid": (images - 128.0) / 64,
    }
    got = stored_preparation(experiment_of(tmp_path, preprocessor, "cifar-100"))(images)
    np.testing.assert_allclose(got, wanted[preprocessor], atol=2e-5)


def test_a_mean_image_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UserError, match=r"mean_image.npy is not there yet: evaluate .* --id one"):
        stored_preparation(experiment_of(tmp_path, "cifar", "cifar-10"))
