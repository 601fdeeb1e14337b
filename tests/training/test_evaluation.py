"""Top-1 and top-5 accuracy."""

import types

import numpy as np
import pytest
import tensorflow as tf

from resnet.training import evaluator
from resnet.training.evaluation import Accuracy, Evaluation
from resnet.training.logs import Logs


def test_best_and_five_best_guesses_are_counted_without_padding():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal([40, 12]).astype(np.float32)
    labels = rng.integers(0, 12, 40).astype(np.int32)
    labels[::7] = -1
    labels[3] = 0  # of the class that argmax takes for a row of NaN
    logits[3] = np.nan  # never right
    order = np.argsort(-logits, axis=1)
    is_image = labels >= 0
    best = (order[:, 0] == labels) & is_image
    five = (order[:, :5] == labels[:, None]).any(axis=1) & is_image
    best[3] = five[3] = False
    batches = tf.data.Dataset.from_tensor_slices((logits, labels)).batch(9)
    accuracy = Evaluation(lambda x: x)(batches)
    assert accuracy.num_images == is_image.sum()
    np.testing.assert_allclose(accuracy.top1, 100 * best.sum() / is_image.sum())
    np.testing.assert_allclose(accuracy.top5, 100 * five.sum() / is_image.sum())


def test_mirror_images_count_by_the_mean_of_logits():
    rng = np.random.default_rng(0)
    images = rng.standard_normal([30, 1, 6, 1]).astype(np.float32)
    labels = rng.integers(0, 6, 30).astype(np.int32)
    scale = np.arange(1, 7, dtype=np.float32)

    def model(images):
        return images[:, 0, :, 0] * scale

    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(9)
    accuracy, plain = (Evaluation(model, flips=flips)(batches) for flips in (True, False))
    pixels = images[:, 0, :, 0]
    order = np.argsort(-(pixels + pixels[:, ::-1]) * scale / 2, axis=1)
    np.testing.assert_allclose(accuracy.flipped_top1, 100 * np.mean(order[:, 0] == labels))
    five = (order[:, :5] == labels[:, None]).any(axis=1)
    np.testing.assert_allclose(accuracy.flipped_top5, 100 * np.mean(five))
    assert accuracy.to_json().keys() - plain.to_json().keys() == {"flipped_top1", "flipped_top5"}
    assert (accuracy.top1, accuracy.top5) == (plain.top1, plain.top5)
    assert accuracy.flipped_top1 != accuracy.top1


def test_a_look_that_is_stopped_does_not_count_as_one_of_more_images(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluator, "restore_checkpoint", lambda *_: None)
    follower = evaluator.Evaluator.__new__(evaluator.Evaluator)
    follower.experiment = types.SimpleNamespace(config=None)
    follower._entry = types.SimpleNamespace(evaluation_batches=lambda *_: None)
    follower._data, follower._model, follower._batch_size = None, None, 4
    follower._logs = Logs(tmp_path, None, evaluator.COLUMNS)

    def look(num_images, stops=False):
        def evaluate(_, name, num_batches):
            if stops and name == "validation":
                raise KeyboardInterrupt
            return Accuracy(50.0, 90.0, num_images)

        follower._num_images = dict.fromkeys(evaluator.LOGGED, num_images)
        follower._evaluation = evaluate
        follower.evaluate(7, "prefix")

    look(3)
    with pytest.raises(KeyboardInterrupt):
        look(9, stops=True)
    follower._num_images["validation"] = 9
    assert follower.done() == set()
    look(9)
    assert follower.done() == {7}
    with pytest.raises(KeyboardInterrupt):
        look(3, stops=True)
    follower._num_images["validation"] = 9
    assert follower.done() == {7}
