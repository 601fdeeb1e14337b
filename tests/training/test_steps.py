"""Steps on several replicas, and the optimizer's arithmetic."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from processes import REPOSITORY
from resnet.training.optimizer import Momentum


@pytest.mark.parametrize(("replicas", "passes"), [(4, 1), (1, 4), (2, 2)])
def test_gradients_are_the_mean_over_replicas_and_passes(replicas, passes):
    # A process of its own: logical devices can only be made before TensorFlow starts.
    script = pathlib.Path(__file__).with_name("replicas.py")
    done = subprocess.run(
        [sys.executable, str(script), str(replicas), str(passes)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert "largest relative error" in done.stdout


def test_momentum_is_the_papers():
    variable = tf.Variable([1.0, 2.0])
    optimizer = Momentum({"w": variable}, momentum=0.9)
    gradients = [np.array([1.0, -1.0]), np.array([0.5, 2.0])]
    weights, momentum = np.array([1.0, 2.0]), np.zeros(2)
    for gradient in gradients:
        optimizer.apply({"w": tf.constant(gradient, tf.float32)}, tf.constant(0.1))
        momentum = 0.9 * momentum + gradient
        weights = weights - 0.1 * momentum
    np.testing.assert_allclose(variable, weights, rtol=1e-6)
    np.testing.assert_allclose(optimizer.slots["w"], momentum, rtol=1e-6)
