"""conf.json: the config, and how it was run."""

from resnet.configs import read_json
from resnet.errors import shown
from resnet.settings import RunOptions, SettingError, fields_of

CONF = "conf.json"
RUN, LATEST = "run", "latest"  # how it was started, and what its latest run changed


def read_conf(path):
    """(config fields, run options), two dicts, of a file in conf.json's format.

    Raises:
      SettingError: it cannot be read, or has options that nobody knows or that do not fit.
    """
    content = read_json(path)
    content.pop(LATEST, None)
    run, known = content.pop(RUN, {}), fields_of(RunOptions)
    if not isinstance(run, dict):
        raise SettingError(
            f"{path}: run is {shown(run)}, but must be a JSON object of run options", RUN
        )
    for name in run:
        if name not in known:
            raise SettingError(
                f"{path}: unknown run option {name}: choose from {sorted(known)}", name
            )
    subject = f"{path}: run option "
    return content, {name: known[name].checked(value, subject) for name, value in run.items()}


def read_latest(path):
    """What the latest run of an experiment changed, a dict of settings."""
    latest = read_json(path).get(LATEST, {})
    return latest if isinstance(latest, dict) else {}
