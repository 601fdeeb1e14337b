"""Steps whose numbers go wrong: what is done about them, and a diagnosis of the one that ends."""

import numpy as np
import tensorflow as tf

from resnet.errors import UserError
from resnet.files import write_json
from resnet.settings import SKIP
from resnet.training.metrics import LEFT_OUT, LOSS, PAST_EXACT_RANGE
from resnet.training.steps import BAD_GRADIENT
from resnet.weights.checkpoint import list_checkpoints
from resnet.weights.folder import DIAGNOSIS

NAMES_SHOWN = 10  # of what is not finite, in the diagnosis


class BadSteps:
    """Looks at the steps of a training whose updates were left out."""

    def __init__(self, training, say):
        """`say(step, text)` tells of an update that is left out while training goes on."""
        self._training, self._say = training, say
        self._num_left_out = 0

    def __call__(self, metrics, num_steps):
        """Takes what the last so many steps returned; BAD_GRADIENT, its own, out of it.

        Raises:
          UserError: an update was not good and training is not to go on, or too often. The
            training is before that step, and a diagnosis is written.
        """
        gradients = metrics.pop(BAD_GRADIENT)
        left_out = np.atleast_1d(metrics[LEFT_OUT].numpy())
        if not left_out.any():
            return
        training, first = self._training, self._training.step - num_steps
        options = training.experiment.options
        values = (metrics[LOSS], metrics[PAST_EXACT_RANGE], gradients)
        losses, pasts, gradients = (np.atleast_1d(value.numpy()) for value in values)
        for i in np.flatnonzero(left_out):
            step, loss, past = first + int(i) + 1, losses[i], pasts[i]
            is_range = bool(past) and training.steps.stops_past_range
            if is_range or options.nan_policy != SKIP:
                raise self._error(step, loss, past, is_range, int(gradients[i]))
            self._num_left_out += 1
            if self._num_left_out > options.nan_limit:
                raise self._error(step, loss, past, is_range, int(gradients[i]))
            self._say(
                step,
                f"warning: {_what(loss, past, is_range)}, and the update is left out "
                f"({self._num_left_out} of at most {options.nan_limit})",
            )

    def _error(self, step, loss, past, is_range, gradient):
        """The UserError of the step that ends the training, which is put back before it.

        Where only a gradient is not finite and updates do not wait, the update was made: then
        `gradient`, its place among those trained, is all that is known.
        """
        training = self._training
        experiment, options = training.experiment, training.experiment.options
        training.rewind(step - 1)
        rate = training.learning_rate
        if np.isfinite(loss) and not training.steps.waits:
            name = list(training.model.trainable_by_storage_name)[gradient]
            names = training.model.public_names([name])
            place = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"  # of a stack
            found = {"first_gradient": place, "images": training.image_indices()}
            images = _images(training, training.next_batch()[0])
            found["first_value"] = "the images" if _is_bad(images) else None
        else:
            found = diagnose(training)
        path = experiment.results / DIAGNOSIS
        if training.placement.hosts.is_chief:
            numbers = {"step": step, "learning_rate": rate, "loss": str(loss)}
            write_json(path, numbers | {"past_exact_range": int(past)} | found)
        last = max(list_checkpoints(experiment.results), default=None)
        kept = "nothing was saved" if last is None else f"the last checkpoint is step {last}"
        clues = [
            f"the first {what} that is not finite: {found[name]}"
            for name, what in (("first_value", "value"), ("first_gradient", "gradient"))
            if found[name]
        ]
        policy = "--exact_policy warn" if is_range else "--nan_policy skip"
        if options.nan_policy == SKIP and not is_range:
            policy = f"a larger --nan_limit than {options.nan_limit}"
        also = f", or continue with --restore and {policy}" if last is not None else ""
        return UserError(
            f"{_what(loss, past, is_range)} at step {step}; {kept}; "
            + "".join(f"{clue}; " for clue in clues)
            + f"more is in {path}. Lower learning_rates (now {rate:g}) and start again{also}"
        )


def _what(loss, past, is_range):
    if is_range:
        return f"{past:.0f} values of the residual stream came to be past the exact range"
    return "a gradient is not finite" if np.isfinite(loss) else f"the loss became {loss}"


def diagnose(training):
    """What is to be seen of the next step's numbers, without making it.

    Args:
      training: Training.

    Returns:
      dict for JSON. "first_value": the first batch norm, from the images on, whose input is
      not finite, "the images", or None; "first_gradient": the weight of the first gradient on
      its way back; "weights": those that are not finite; "largest": {kind: [name, largest
      magnitude of a finite value]}; "images": their places in the training split, where they
      are known.
    """
    inputs, labels = training.next_batch()
    step = tf.constant(training.step, tf.int64)
    found, _ = training.steps.compute(inputs, labels, step)
    local = training.placement.strategy.experimental_local_results
    images = _images(training, inputs)
    names = [name for unit in training.model.network.names_by_unit() for name in unit]
    public = training.model.to_public
    weights = training.model.get_weights()
    kinds = {
        kind: {n: v.numpy() for n, v in public(_first(local, found[kind])).items()}
        for kind in ("gradients", "statistics")
    }
    values = [name for name in names if _is_bad(kinds["statistics"].get(name))]
    gradients = [name for name in names if _is_bad(kinds["gradients"].get(name))]
    first_value = f"the input of {values[0].rpartition('/')[0]}" if values else None
    return {
        "first_value": "the images" if _is_bad(images) else first_value,
        "first_gradient": gradients[-1] if gradients else None,
        "weights": [name for name in names if _is_bad(weights[name])][:NAMES_SHOWN],
        "largest": {
            "image": ["the images", _largest(images)],
            "weight": _largest_of(weights),
            "gradient": _largest_of(kinds["gradients"]),
            "batch statistic": _largest_of(kinds["statistics"]),
        },
        "images": training.image_indices(),
    }


def _first(local_results, tensors):
    """{name: tensor} of the first replica: all have the same."""
    return {name: local_results(value)[0] for name, value in tensors.items()}


def _images(training, inputs):
    """The values of all images of this host's replicas, as a vector."""
    local = training.placement.strategy.experimental_local_results
    columns = [local(x) for x in tf.nest.flatten(inputs)]
    parts = [tf.nest.pack_sequence_as(inputs, row) for row in zip(*columns, strict=True)]
    return np.concatenate([np.ravel(training.steps.prepare(part)) for part in parts])


def _is_bad(value):
    return value is not None and not np.isfinite(value).all()


def _largest(value):
    """The largest magnitude of an array's finite values, float; 0 if there are none."""
    finite = np.abs(np.asarray(value, np.float64)[np.isfinite(value)])
    return float(finite.max(initial=0.0))


def _largest_of(arrays):
    """[name, largest magnitude] of {name: array}."""
    largest = {name: _largest(value) for name, value in arrays.items()}
    name = max(largest, key=largest.get, default="")
    return [name, largest.get(name, 0.0)]
