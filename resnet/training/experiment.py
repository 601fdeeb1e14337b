"""An experiment: its id, its folders and the conf.json that makes it repeatable."""

import dataclasses
import datetime
import pathlib
import secrets

import numpy as np

from resnet.configs import Config, config_from_json, read_json
from resnet.errors import UsageError, UserError
from resnet.files import remove, write_json, written_beside
from resnet.models import Model, Network
from resnet.settings import RunOptions
from resnet.weights.checkpoint import list_checkpoints

CONF, MEAN_IMAGE, RESULT = "conf.json", "mean_image.npy", "result.json"
BEST = "best"  # folder of the best evaluation's checkpoint


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A named run: config, options, and the folders of its results and logs."""

    id: str
    config: Config
    options: RunOptions
    results: pathlib.Path  # conf.json, mean image, checkpoints
    logs: pathlib.Path

    @property
    def num_steps(self):
        """The step at which training ends."""
        return min(self.config.num_steps, self.options.max_num_steps or self.config.num_steps)

    def images_at_once(self, num_replicas):
        """Images in a device's memory at the same time."""
        return self.config.batch_size // (num_replicas * self.options.num_pass)

    def init_checkpoint(self):
        """Prefix of the checkpoint that option init_from names, or None without it.

        Raises:
          UsageError: there is none.
        """
        if self.options.init_from is None:
            return None
        source = self.results.parent / self.options.init_from
        checkpoints = list_checkpoints(source)
        if not checkpoints:
            raise UsageError(
                f"init_from is {self.options.init_from!r}, but there is no checkpoint in "
                f"{str(source)!r}: give the --id of a trained experiment, or ID/{BEST}"
            )
        return checkpoints[max(checkpoints)]

    def make_model(self, num_replicas):
        """The Model, with initial weights."""
        return Model(self.config, **self._network_options(num_replicas))

    def make_network(self, num_replicas):
        """The Network: what `make_model` makes, without variables."""
        return Network(self.config, **self._network_options(num_replicas))

    def _network_options(self, num_replicas):
        options = self.options
        return {
            "backprop": options.backprop,
            "dtype": options.dtype,
            "exact": options.exact,
            "loop": options.loop,
            "extra_bytes": (options.memory_budget or 0) / self.images_at_once(num_replicas),
        }

    def save(self):
        """Writes conf.json, all or nothing, and removes what a killed run left half-written."""
        for leftover in self.results.glob("*.part*"):
            remove(leftover)
        run = dataclasses.asdict(self.options)
        write_json(self.results / CONF, self.config.to_json() | {"run": run})

    def mean_image(self, compute, is_chief=True):
        """The stored mean image, (H, W, 3) float32; computed and stored the first time.

        Of several hosts, only the chief stores it; all compute the same.
        """
        path = self.results / MEAN_IMAGE
        if not path.exists() and not is_chief:
            return compute()
        if not path.exists():
            with written_beside(path) as temporary, open(temporary, "wb") as file:
                np.save(file, compute())
        try:
            image = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise UserError(f"{path} is damaged ({error}). Remove it to compute it anew") from None
        size = self.config.image_size
        if image.shape != (size, size, 3):
            raise UserError(f"{path} has shape {image.shape}. Remove it to compute it anew")
        return image


def new_folders(experiment_id, roots):
    """The folders of a new experiment, one below each root, such as (results, logs).

    Raises:
      UsageError: the id is not a plain name, or one of them exists.
    """
    if pathlib.Path(experiment_id).name != experiment_id or experiment_id == "..":
        raise UsageError(f"--id is {experiment_id!r}, but must be a plain name without slashes")
    folders = [pathlib.Path(root) / experiment_id for root in roots]
    for folder in folders:
        if folder.exists():
            begun = (folders[0] / CONF).exists()
            raise UsageError(
                f"experiment {experiment_id!r} exists in {str(folder.parent)!r}: "
                + ("continue it with --restore" if begun else f"remove {folder}")
                + ", or give another --id"
            )
    return folders


def new_id(dataset, model):
    """exp_{dataset}_{model}_{time}-{random}."""
    time = datetime.datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    return f"exp_{dataset}_{model}_{time}-{secrets.token_hex(3)}"


def read_conf(path):
    """(config fields, run options), two dicts, of a file in conf.json's format."""
    content = read_json(path)
    run = content.pop("run", {})
    known = {field.name for field in dataclasses.fields(RunOptions)}
    if not isinstance(run, dict) or run.keys() - known:
        unknown = ", ".join(sorted(run.keys() - known)) if isinstance(run, dict) else repr(run)
        raise UsageError(f"{path}: unknown run option {unknown}: choose from {sorted(known)}")
    return content, run


def load_experiment(experiment_id, results_root, logs_root):
    """The experiment that an earlier run began.

    Raises:
      UsageError: there is none of that id.
    """
    results = pathlib.Path(results_root) / experiment_id
    if not (results / CONF).is_file():
        root = pathlib.Path(results_root)
        ids = sorted(path.parent.name for path in root.glob(f"*/{CONF}"))
        known = f"it has {len(ids)}, such as {', '.join(ids[-5:])}" if ids else "it has none"
        raise UsageError(
            f"no experiment {experiment_id!r} in {str(results_root)!r} ({known}). "
            "Give its --id, and --results if it lies elsewhere"
        )
    fields, run = read_conf(results / CONF)
    if "dataset" not in run:
        raise UsageError(f"{results / CONF} names no dataset in run: damaged? Restore it")
    config, logs = config_from_json(fields), pathlib.Path(logs_root) / experiment_id
    return Experiment(experiment_id, config, RunOptions(**run), results, logs)
