"""cifar-vs-tensorflow2's experiments in this project's words.

Its experiments have the keys module, model, model_parameters, train_parameters and
skip_error_test.
"""

import re

from resnet.configs import list_configs
from resnet.experiments.yaml_file import Value

KEYS = ("module", "model", "model_parameters", "train_parameters", "skip_error_test")
DATASET = "cifar-10"  # it has no other
# Its own defaults of training, which our configs need not have.
SCHEDULE = {
    "learning_rates": [0.01, 0.1, 0.01, 0.001],
    "boundaries": [400, 32_000, 48_000],
    "num_steps": 64_000,
    "nesterov": False,
}
TRAIN_KEYS = {
    "logdir": "logs",
    "log_interval": "log_every",
    "val_interval": "evaluate_every",
    "batch_size": "batch_size",
    "nesterov": "nesterov",
}
BLOCK_TYPES = {"original": "v1", "preactivated": "v2"}
WRONG_KEYS = {"shortcut_mode": "shortcut_type"}
PREACTIVATED_PROJECTION = "preactivated_projection"  # an older name of its


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
    found, problems, notices = {"dataset": Value(DATASET, line)}, [], []
    for key, value in keys.items():
        if key not in KEYS:
            problems.append((value.line, f"unknown key {key!r} beside 'module': it has {KEYS}"))
    empty = Value({}, line)
    model_keys, train_keys = (
        (keys.get(key) or empty).content or {} for key in ("model_parameters", "train_parameters")
    )
    _model(keys.get("model", Value(None, line)), model_keys, found, problems, notices)
    _model_parameters(model_keys, found, problems, notices)
    _train_parameters(line, train_keys, found, problems)
    if "skip_error_test" in keys:
        skip = keys["skip_error_test"]
        found["smoke_test"] = Value(not skip.content, skip.line)
    if "name" not in found:
        problems.append((line, "key 'run_name' of 'train_parameters' is missing"))
    return found, problems, notices


def _model(model, parameters, found, problems, notices):
    """Finds the config."""
    name = str(model.content)
    parts = re.fullmatch(r"(cifar_)?(resnet|vgg|wrn)_?(\d+)(?:_(\d+))?", name.lower())
    config = None
    if parts:
        prefix, kind, depth, width = parts.groups()
        if kind == "resnet":
            default = "preactivated" if int(depth) >= 110 else "original"
            block = parameters.get("block_type", Value(default, model.line))
            if block.content not in BLOCK_TYPES:
                problems.append(
                    (block.line, f"key 'block_type' is {block.content!r}: choose {[*BLOCK_TYPES]}")
                )
                return
            config = f"resnet{depth}-{BLOCK_TYPES[block.content]}"
        else:
            config = f"{kind}-{depth}" + (f"-{width}" if width else "")
        if not prefix:
            notices.append(
                (model.line, f"model {name!r}, which that project calls cifar_{name}, is {config}")
            )
    if config not in list_configs():
        problems.append((model.line, f"key 'model' is {name!r}, which is none of that project's"))
        return
    found["model"] = Value(config, model.line)


def _model_parameters(parameters, found, problems, notices):
    for key, value in parameters.items():
        if key in WRONG_KEYS:
            notices.append((value.line, f"{key!r} is understood as {WRONG_KEYS[key]!r}"))
            key = WRONG_KEYS[key]
        if key == "shortcut_type" and value.content == PREACTIVATED_PROJECTION:
            found["shortcut"] = Value("B", value.line)
            found["preactivate_shortcut"] = Value(True, value.line)
        elif key == "shortcut_type":
            found["shortcut"] = value
        elif key == "l2_reg":  # its penalty is l2_reg * sum(w ** 2)
            found["weight_decay"] = Value(2 * value.content, value.line)
        elif key == "dropout":
            found["dropout"] = value
        elif key == "load_weights" and value.content:
            problems.append(
                (
                    value.line,
                    "key 'load_weights': import the weights with python -m resnet.import_weights "
                    "and give the experiment's id to init_from",
                )
            )
        elif key not in ("block_type", "load_weights"):
            problems.append((value.line, f"unknown key {key!r} of 'model_parameters'"))


def _train_parameters(line, parameters, found, problems):
    found |= {key: Value(content, line) for key, content in SCHEDULE.items()}
    for key, value in parameters.items():
        if key == "run_name":
            found["name"] = Value(re.sub(r"[^\w.+-]+", "-", str(value.content)), value.line)
        elif key in TRAIN_KEYS:
            found[TRAIN_KEYS[key]] = value
        elif key not in ("lr_values", "lr_boundaries"):
            problems.append((value.line, f"unknown key {key!r} of 'train_parameters'"))
    rates, ends = (parameters.get(key) for key in ("lr_values", "lr_boundaries"))
    if not (rates or ends):
        return
    if not (rates and ends and len(rates.content) == len(ends.content)):
        problems.append(
            (
                (rates or ends).line,
                "keys 'lr_values' and 'lr_boundaries' must be equally long lists: the last "
                "boundary is the end of training",
            )
        )
        return
    found["learning_rates"] = rates
    found["boundaries"] = Value(ends.content[:-1], ends.line)
    found["num_steps"] = Value(ends.content[-1], ends.line)
