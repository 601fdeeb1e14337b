"""Steps whose numbers go wrong: what is done about them, and a diagnosis of the one that ends."""

import numpy as np
import tensorflow as tf

from resnet.errors import UserError
from resnet.files import write_json
from resnet.settings import SKIP
from resnet.training.metrics import LEFT_OUT, LOSS, PAST_EXACT_RANGE
from resnet.training.steps import NORMS
from resnet.weights.checkpoint import list_checkpoints
from resnet.weights.folder import DIAGNOSIS


class BadSteps:
    """Looks at the steps of a training whose updates are not good (see Steps)."""

    def __init__(self, training, say):
        """`say(step, text)` tells of an update that is left out while training goes on."""
        self._training, self._say = training, say
        self._num_left_out = 0

    def __call__(self, metrics, num_steps):
        """Takes what the last so many steps returned.

        Raises:
          UserError: an update was not good and training is not to go on, or too often. A
            diagnosis is written; the training is of no more use.
        """
        left_out = np.atleast_1d(metrics[LEFT_OUT].numpy())
        if not left_out.any():
            return
        training = self._training
        options, first = training.experiment.options, training.step - num_steps
        values = (metrics[name].numpy() for name in (LOSS, PAST_EXACT_RANGE))
        losses, pasts = (np.atleast_1d(value) for value in values)
        norms = np.atleast_2d(metrics[NORMS].numpy())
        for i in np.flatnonzero(left_out):
            numbers = Numbers(losses[i], pasts[i], training.steps, norms[i])
            step = first + int(i) + 1
            if numbers.is_range or options.nan_policy != SKIP:
                raise self._error(step, numbers)
            self._num_left_out += 1
            if self._num_left_out > options.nan_limit:
                raise self._error(step, numbers)
            self._say(
                step,
                f"warning: {numbers.fault}, and the update is left out "
                f"({self._num_left_out} of at most {options.nan_limit})",
            )

    def _error(self, step, numbers):
        """The UserError of the step that ends the training."""
        training = self._training
        experiment, options = training.experiment, training.experiment.options
        training.rewind(step - 1)
        found = diagnose(training, numbers)
        path = experiment.results / DIAGNOSIS
        if training.placement.hosts.is_chief:
            write_json(path, found)
        last = max(list_checkpoints(experiment.results), default=None)
        kept = "nothing was saved" if last is None else f"the last checkpoint is step {last}"
        clues = [
            f"the first {what} that is not finite: {found[name]}"
            for name, what in (("first_value", "value"), ("first_gradient", "gradient"))
            if found[name]
        ]
        policy = "--exact_policy warn" if numbers.is_range else "--nan_policy skip"
        if options.nan_policy == SKIP and not numbers.is_range:
            policy = f"a larger --nan_limit than {options.nan_limit}"
        also = f", or continue with --restore and {policy}" if last is not None else ""
        return UserError(
            f"{numbers.fault} at step {step}; {kept}; "
            + "".join(f"{clue}; " for clue in clues)
            + f"more is in {path}. Lower learning_rates (now {training.learning_rate:g}) "
            f"and start again{also}"
        )


class Numbers:
    """What one step's metrics tell of its numbers.

    Attributes:
      loss, past: float; how many tensors had values past the exact range.
      is_range: whether they are what the update was not good for.
      norms: {kind: {name: norm}} of Steps.names_of_norms.
      fault: what is wrong, as a sentence; "" if nothing is.
    """

    def __init__(self, loss, past, steps, halved_squares):
        self.loss, self.past = float(loss), int(past)
        self.is_range = self.past > 0 and steps.stops_past_range
        self.norms = {}
        for (kind, name), value in zip(steps.names_of_norms(), halved_squares, strict=True):
            self.norms.setdefault(kind, {})[name] = float(np.sqrt(2.0 * np.float64(value)))
        if self.is_range:
            self.fault = (
                f"{self.past} tensors of the residual stream have values past the exact range"
            )
        elif not np.isfinite(self.loss):
            self.fault = f"the loss became {self.loss}"
        else:
            kinds = [kind for kind in self.norms if self.bad(kind)]
            self.fault = f"a {kinds[0]} is not finite" if kinds else ""

    def bad(self, kind):
        """[name] of those of a kind that are not finite, in the network's order."""
        return [name for name, norm in self.norms[kind].items() if not np.isfinite(norm)]

    def largest(self, kind):
        """[name, norm] of the largest finite norm of a kind."""
        finite = {name: norm for name, norm in self.norms[kind].items() if np.isfinite(norm)}
        name = max(finite, key=finite.get, default="")
        return [name, finite.get(name, 0.0)]


def diagnose(training, numbers):
    """What is to be seen of a step's numbers.

    Args:
      training: Training, put back before the step; its weights may be behind it.
      numbers: Numbers of the step.

    Returns:
      dict for JSON. "step", "learning_rate", "loss", "past_exact_range"; "first_value": the
      first batch norm, from the images on, whose input is not finite, "the images", or None;
      "first_gradient": the weight of the first gradient on its way back; "largest_image_value",
      of the finite ones; "largest_norm": {kind: [name, norm]}; "images": their places in the
      training split, where they are known.
    """
    values, gradients = numbers.bad("batch statistic"), numbers.bad("gradient")
    images = _images(training, training.next_batch()[0])
    training.rewind(training.step)
    finite = np.abs(images[np.isfinite(images)])
    first_value = f"the input of {_batch_norm(values[0])}" if values else None
    return {
        "step": training.step + 1,
        "learning_rate": training.learning_rate,
        "loss": str(numbers.loss),
        "past_exact_range": numbers.past,
        "first_value": first_value if len(finite) == len(images) else "the images",
        "first_gradient": gradients[-1] if gradients else None,
        "largest_image_value": float(finite.max(initial=0.0)),
        "largest_norm": {kind: numbers.largest(kind) for kind in numbers.norms},
        "images": training.image_indices(),
    }


def _batch_norm(statistic):
    """The name of the batch norm of a statistic, or of those of several units."""
    return " to ".join(name.rpartition("/")[0] for name in statistic.split(" to "))


def _images(training, inputs):
    """The values of all images of this host's replicas, as a vector."""
    local = training.placement.strategy.experimental_local_results
    columns = [local(x) for x in tf.nest.flatten(inputs)]
    parts = [tf.nest.pack_sequence_as(inputs, row) for row in zip(*columns, strict=True)]
    return np.concatenate([np.ravel(training.steps.prepare(part)) for part in parts])
