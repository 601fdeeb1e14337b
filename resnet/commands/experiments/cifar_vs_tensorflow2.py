"""cifar-vs-tensorflow2's experiments in this project's words.

Its experiments have the keys module, model, model_parameters, train_parameters and
skip_error_test.
"""

import re

from resnet.commands.experiments.yaml_file import Value
from resnet.configs import list_configs
from resnet.errors import shown

KEYS = ("module", "model", "model_parameters", "train_parameters", "skip_error_test")
DATASET = "cifar-10"  # it has no other
# Its own defaults of training, which our configs need not have.
SCHEDULE = {
    "learning_rates": [0.01, 0.1, 0.01, 0.001],
    "boundaries": [400, 32_000, 48_000],
    "num_steps": 64_000,
    "nesterov": False,
}
BLOCK_TYPES = {"original": "v1", "preactivated": "v2"}
# Of the networks of 110 layers and more, whatever the block.
DEEP, DEEP_BLOCK_TYPE, DEEP_SHORTCUT = 110, "preactivated", "B"
WRONG_KEYS = {"shortcut_mode": "shortcut_type"}
PREACTIVATED_PROJECTION = "preactivated_projection"  # an older name of its

KINDS = {
    "a text": lambda x: isinstance(x, str),
    "true or false": lambda x: isinstance(x, bool),
    "a positive integer": lambda x: type(x) is int and x > 0,
    "a number": lambda x: type(x) in (int, float),
    "a list of numbers": lambda x: (
        isinstance(x, list) and x and all(type(one) in (int, float) for one in x)
    ),
}
# its key -> (ours, what its value must be)
MODEL_KEYS = {
    "block_type": (None, "a text"),
    "shortcut_type": ("shortcut", "a text"),
    "l2_reg": ("weight_decay", "a number"),
    "dropout": ("dropout", "a number"),
    "load_weights": (None, "true or false"),
}
TRAIN_KEYS = {
    "logdir": ("logs", "a text"),
    "run_name": ("name", "a text"),
    "log_interval": ("log_every", "a positive integer"),
    "val_interval": ("evaluate_every", "a positive integer"),
    "batch_size": ("batch_size", "a positive integer"),
    "nesterov": ("nesterov", "true or false"),
    "lr_values": (None, "a list of numbers"),
    "lr_boundaries": (None, "a list of numbers"),
}


def is_foreign(keys):
    """Whether an experiment is one of that project's."""
    return "module" in keys or "train_parameters" in keys


def translate(line, keys):
    """Says an experiment in this project's keys.

    Args:
      line: where it begins.
      keys: {key: Value}.

    Returns:
      ({key: Value}, problems, notices), the last two [(line, text)].
    """
    translation = _Translation(line)
    translation.translate(keys)
    return translation.found, translation.problems, translation.notices


class _Translation:
    """One experiment, as it is being translated."""

    def __init__(self, line):
        self._line, self.problems, self.notices = line, [], []
        self.found = {key: Value(content, line) for key, content in SCHEDULE.items()}
        self.found["dataset"] = Value(DATASET, line)

    def translate(self, keys):
        """Takes up {key: Value}."""
        for key, value in keys.items():
            if key not in KEYS:
                self._problem(value, f"unknown key {key!r} beside 'module': it has {KEYS}")
        model_keys = self._checked(keys, "model_parameters", MODEL_KEYS)
        train_keys = self._checked(keys, "train_parameters", TRAIN_KEYS)
        self._model(keys.get("model", Value(None, self._line)), model_keys)
        self._translate_model_keys(model_keys)
        self._translate_schedule(train_keys)
        if "skip_error_test" in keys and self._is("skip_error_test", keys, "true or false"):
            skip = keys["skip_error_test"]
            self.found["smoke_test"] = Value(not skip.content, skip.line)
        if "run_name" in train_keys:
            name = train_keys["run_name"]
            plain = re.sub(r"^\W+|[^\w.+-]+", "-", name.content).lstrip("-.")
            self.found["name"] = Value(plain, name.line)
        elif not self.problems:
            missing = Value(None, self._line)
            self._problem(missing, "key 'run_name' of 'train_parameters' is missing")

    def _problem(self, value, text):
        self.problems.append((value.line, text))

    def _is(self, key, keys, wanted):
        """Whether a value is what it must be; notes it as a problem if not."""
        if KINDS[wanted](keys[key].content):
            return True
        self._problem(keys[key], f"key {key!r} is {shown(keys[key].content)}, but must be {wanted}")
        return False

    def _checked(self, keys, part, known):
        """{key: Value} of a part whose keys are known and have such values; takes up plain ones."""
        value = keys.get(part, Value({}, self._line))
        content = {} if value.content is None else value.content
        if not isinstance(content, dict):
            self._problem(value, f"key {part!r} is {shown(content)}, but must be a mapping")
            return {}
        found = {}
        for key, inner in content.items():
            if key in WRONG_KEYS:
                self.notices.append((inner.line, f"{key!r} is understood as {WRONG_KEYS[key]!r}"))
                key = WRONG_KEYS[key]
            if key not in known:
                self._problem(inner, f"unknown key {key!r} of {part!r}: it has {[*known]}")
                continue
            ours, wanted = known[key]
            if self._is(key, {key: inner}, wanted):
                found[key] = inner
                if ours:
                    self.found[ours] = inner
        return found

    def _model(self, model, parameters):
        """Finds the config."""
        name = str(model.content)
        parts = re.fullmatch(r"(cifar_)?(resnet|vgg|wrn)_?(\d+)(?:_(\d+))?", name.lower())
        config = None
        if parts:
            prefix, kind, depth, width = parts.groups()
            config = f"{kind}-{depth}" + (f"-{width}" if width else "")
            if kind == "resnet":
                is_deep = int(depth) >= DEEP
                default = DEEP_BLOCK_TYPE if is_deep else "original"
                block = parameters.get("block_type", Value(default, model.line))
                if block.content not in BLOCK_TYPES:
                    choices = " or ".join(BLOCK_TYPES)
                    self._problem(
                        block, f"key 'block_type' is {shown(block.content)}, but must be {choices}"
                    )
                    return
                config = f"resnet{depth}-{BLOCK_TYPES[block.content]}"
                if is_deep:
                    self.found.setdefault("shortcut", Value(DEEP_SHORTCUT, model.line))
        if config not in list_configs():
            self._problem(model, f"key 'model' is {shown(name)}, which is none of that project's")
            return
        if not prefix:
            text = f"model {name!r}, which that project calls cifar_{name}, is {config}"
            self.notices.append((model.line, text))
        self.found["model"] = Value(config, model.line)

    def _translate_model_keys(self, parameters):
        """What is not the same but for its name."""
        if "l2_reg" in parameters:  # a penalty of l2_reg * sum(w ** 2)
            penalty = parameters["l2_reg"]
            self.found["weight_decay"] = Value(2 * penalty.content, penalty.line)
        shortcut = parameters.get("shortcut_type")
        if shortcut and shortcut.content == PREACTIVATED_PROJECTION:
            self.found["shortcut"] = Value("B", shortcut.line)
            self.found["preactivate_shortcut"] = Value(True, shortcut.line)
        weights = parameters.get("load_weights")
        if weights and weights.content:
            self._problem(
                weights,
                "key 'load_weights': import the weights with resnet import and "
                "give the experiment's id to init_from",
            )

    def _translate_schedule(self, parameters):
        """The last of its boundaries is the end of training."""
        rates, ends = (parameters.get(key) for key in ("lr_values", "lr_boundaries"))
        if not (rates or ends):
            return
        if not (rates and ends and len(rates.content) == len(ends.content)):
            self._problem(
                rates or ends,
                "keys 'lr_values' and 'lr_boundaries' must be lists of equal length: the last "
                "boundary is the end of training",
            )
            return
        self.found["learning_rates"] = rates
        self.found["boundaries"] = Value(ends.content[:-1], ends.line)
        self.found["num_steps"] = Value(ends.content[-1], ends.line)
