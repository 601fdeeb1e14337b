"""A new experiment: its config and options, its id, and its first file."""

import contextlib
import dataclasses
import pathlib

from resnet.commands import options
from resnet.configs import config_from_json, get_config, list_configs
from resnet.errors import UsageError
from resnet.files import remove
from resnet.pretrained import FOLLOWS, PREFIX, by_reference
from resnet.settings import NetworkSettings, fields_of
from resnet.training.conf import read_conf
from resnet.training.experiment import Experiment, new_folders, new_id, require_plain


def new_experiment(task, flags, hosts):
    """The experiment that flags describe; nothing of it is written yet.

    Raises:
      UsageError: flags that do not fit, or an id that is taken.
    """
    config, run = options.resolve_config(flags, _default(task, flags), task.num_classes)
    options.require_known(flags, run)
    options.require_preprocessor(config, task.preprocessors, task.default_model)
    run = options.resolve_options(config, run, flags.given(options.OPTIONS))
    config = options.in_steps(config, lambda: task.num_images(config, run, None))
    if len(hosts) > 1 and not flags.id:
        raise UsageError(f"--id is needed with {len(hosts)} hosts: the same one on each of them")
    experiment_id = flags.id if flags.is_given("id") else new_id(run.dataset, config.name)
    require_plain(experiment_id)
    if not hosts.is_chief or flags.dry_run:
        folders = [pathlib.Path(root) / experiment_id for root in (flags.results, flags.logs)]
    else:
        folders = new_folders(experiment_id, (flags.results, flags.logs))
    experiment = Experiment(experiment_id, config, run, *folders)
    return _prepared_as_source(experiment, flags, task.preprocessors)


def _default(task, flags):
    """The Config of a run that names none: the network whose weights it starts from, if any."""
    default = get_config(task.default_model)
    if flags.model or flags.config:
        return default
    model, changes = network_of_weights(flags.init_from)
    if model or changes:
        default = config_from_json(changes, get_config(model) if model else default)
        print(f"model {default.name}, as the weights are of", flush=True)
    return default


def network_of_weights(init_from):
    """The network that pretrained weights are of, for a run that names none.

    Args:
      init_from: the run option.

    Returns:
      (name of a config, {field: value} of what it differs from that in); the name is None where
      none has it, and of other weights, or none. How images are prepared is not among them.

    Raises:
      UsageError: no such weights.
    """
    if not (init_from and init_from.startswith(PREFIX)):
        return None, {}
    config = by_reference(init_from).config
    named = get_config(config.name) if config.name in list_configs() else None
    changes = {
        name: getattr(config, name)
        for name in fields_of(NetworkSettings)
        if name not in FOLLOWS and not (named and getattr(named, name) == getattr(config, name))
    }
    return named and named.name, changes


def _prepared_as_source(experiment, flags, preprocessors):
    """The experiment, with images prepared as for the weights that it starts from.

    What a --config file says counts before that, and is said.
    """
    before = experiment.init_preprocessor()  # raises before anything is saved
    own = experiment.config.preprocessor
    if before in (None, own) or before not in preprocessors:
        return experiment
    if flags.config and "preprocessor" in read_conf(flags.config)[0]:
        print(
            f"notice: images are prepared as {own!r} here, and were as {before!r} for the weights "
            f"of {experiment.options.init_from}",
            flush=True,
        )
        return experiment
    print(f"images are prepared as for {experiment.options.init_from}: {before}", flush=True)
    config = dataclasses.replace(experiment.config, preprocessor=before)
    return dataclasses.replace(experiment, config=config)


@contextlib.contextmanager
def removed_if_it_fails(experiment):
    """Begins an experiment; what fails before its training has logs leaves no folder of its own."""
    new = [folder for folder in (experiment.results, experiment.logs) if not folder.exists()]
    try:
        experiment.save()
        yield
    except BaseException:
        if not any(experiment.logs.glob("*.csv")):
            for folder in new:
                remove(folder)
        raise
