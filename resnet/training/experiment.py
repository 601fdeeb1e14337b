"""An experiment: its id, its folders and the conf.json that makes it repeatable."""

import dataclasses
import datetime
import pathlib
import re
import secrets

from resnet.arrays import load_array, save_array
from resnet.configs import Config, config_from_json, read_json
from resnet.data.cifar.preparation import CHANNELS, MEAN_IMAGE
from resnet.errors import UsageError, UserError, shown
from resnet.files import is_plain_name, write_json
from resnet.models import Model, Network
from resnet.pretrained import PREFIX, Pretrained, by_reference
from resnet.settings import RunOptions, SettingError
from resnet.training.conf import CONF, LATEST, RUN, read_conf, read_latest
from resnet.weights.checkpoint import list_checkpoints
from resnet.weights.folder import (
    BEST,
    CIFAR_RESULTS,
    IMAGENET_RESULTS,
    LABEL_NAMES,
)

ELSEWHERE = "give its --id, and --results if it lies elsewhere (results= in Python)"
LONGEST_ID = 160  # bytes: names of files have 255, and what is being written adds to them


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
        """Images of a step in a device's memory at the same time; one at least, to evaluate."""
        return max(1, self.config.batch_size // (num_replicas * self.options.num_pass))

    def init_source(self):
        """What option init_from names: a checkpoint's prefix or Pretrained; None without it.

        Raises:
          UsageError: there is none.
        """
        if self.options.init_from is None:
            return None
        if self.options.init_from.startswith(PREFIX):
            return by_reference(self.options.init_from)
        source = self.results.parent / self.options.init_from
        checkpoints = list_checkpoints(source)
        if not checkpoints:
            raise SettingError(
                f"init_from is {self.options.init_from!r}, but there is no checkpoint in "
                f"{str(source)!r}: give the --id of a trained experiment, ID/{BEST}, or "
                f"{PREFIX}MODEL:DATASET",
                "init_from",
            )
        return checkpoints[max(checkpoints)]

    def init_preprocessor(self):
        """How images were prepared for the weights of `init_source`; None if nobody says.

        Raises:
          UsageError: as `init_source`.
        """
        source = self.init_source()
        if isinstance(source, Pretrained):
            return source.config.preprocessor
        folder = pathlib.Path(source).parent if source else None
        if folder and folder.name == BEST:
            folder = folder.parent
        if folder is None or not (folder / CONF).exists():
            return None
        return read_json(folder / CONF).get("preprocessor")

    def make_model(self, num_replicas):
        """The Model, with initial weights."""
        return Model(
            self.config,
            self.options.computation,
            images_at_once=self.images_at_once(num_replicas),
        )

    def make_network(self, num_replicas):
        """The Network: what `make_model` makes, without variables."""
        return Network(self.config, self.options.computation, self.images_at_once(num_replicas))

    def save(self):
        """Writes conf.json, all or nothing."""
        run = dataclasses.asdict(self.options)
        write_json(self.results / CONF, self.config.to_json() | {RUN: run})

    def note_changes(self, started):
        """Notes in conf.json what this run changes of how the experiment was started.

        Args:
          started: Experiment, as conf.json has it; that part stays as it is.
        """
        before, now = (vars(e.config) | vars(e.options) for e in (started, self))
        changes = {name: value for name, value in now.items() if value != before[name]}
        content = read_json(self.results / CONF)
        if content.get(LATEST, {}) != changes:
            write_json(self.results / CONF, content | {LATEST: changes})

    def kept(self, name, compute, is_chief=True):
        """An array of the training images that is computed and stored the first time.

        Of several hosts, only the chief stores it; all compute the same.

        Args:
          name: one of SHAPES.
          compute: function that returns it.

        Raises:
          UserError: what is stored is damaged.
        """
        path = self.results / f"{name}.npy"
        if not path.exists() and not is_chief:
            return compute()
        if not path.exists():
            save_array(path, compute())
        array = load_array(path)
        size = self.config.image_size
        if array.shape != {MEAN_IMAGE: (size, size, 3), CHANNELS: (2, 3)}[name]:
            raise UserError(f"{path} has shape {array.shape}. Remove it to compute it anew")
        return array

    @property
    def label_names(self):
        """Names of the classes, a tuple, as training has kept them; None if it has not."""
        path = self.results / LABEL_NAMES
        if not path.exists():
            return None
        names = read_json(path).get("label_names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{path} is damaged: it holds no list of names. Restore it")
        return tuple(names)

    def keep_label_names(self, names):
        """Keeps the classes' names, or checks that they are those that were kept.

        Raises:
          UserError: they are others.
        """
        self.require_label_names(names)
        if self.label_names is None:
            write_json(self.results / LABEL_NAMES, {"label_names": list(names)})

    def require_label_names(self, names):
        """Checks that the classes' names are those that were kept, if any were.

        Raises:
          UserError: they are others.
        """
        before = self.label_names
        if before not in (None, tuple(names)):
            raise UserError(
                f"the classes are {', '.join(names)}, but {self.id} was trained on "
                f"{', '.join(before)}: give the folder of those images"
            )


def require_plain(experiment_id):
    """Checks that an id is a name, which cannot lead out of a folder.

    Raises:
      UsageError: it is not.
    """
    if not is_plain_name(experiment_id, LONGEST_ID):
        raise UsageError(
            f"--id is {shown(experiment_id)}, but must be a plain name without slashes, no dot at "
            f"its start, of at most {LONGEST_ID} bytes"
        )


def new_folders(experiment_id, roots):
    """The folders of a new experiment, one below each root, such as (results, logs).

    Raises:
      UsageError: the id is not a plain name, or one of them exists and holds more than what
        somebody was killed at writing.
    """
    require_plain(experiment_id)
    folders = [pathlib.Path(root) / experiment_id for root in roots]
    for folder in folders:
        if folder.is_file() or any(".part" not in path.name for path in folder.glob("*")):
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
    return f"exp_{re.sub('[:/]', '-', dataset)}_{model}_{time}-{secrets.token_hex(3)}"


def find_results(experiment_id, folders=(CIFAR_RESULTS, IMAGENET_RESULTS)):
    """The first of some folders that has an experiment.

    Raises:
      UsageError: none has.
    """
    require_plain(experiment_id)
    for folder in folders:
        if (pathlib.Path(folder) / experiment_id).is_dir():
            return folder
    raise UsageError(
        f"no experiment {experiment_id!r} in {' or '.join(map(str, folders))}: {ELSEWHERE}"
    )


def load_experiment(experiment_id, results_root, logs_root):
    """The experiment that an earlier run began.

    Raises:
      UsageError: there is none of that id.
    """
    require_plain(experiment_id)
    results = pathlib.Path(results_root) / experiment_id
    if not (results / CONF).is_file():
        root = pathlib.Path(results_root)
        ids = sorted(path.parent.name for path in root.glob(f"*/{CONF}"))
        known = "it has none" if root.is_dir() else "which is no folder"
        known = f"it has {len(ids)}, such as {', '.join(ids[-5:])}" if ids else known
        raise UsageError(
            f"no experiment {experiment_id!r} in {str(results_root)!r} ({known}): {ELSEWHERE}"
        )
    fields, run = read_conf(results / CONF)
    if "dataset" not in run:
        raise UsageError(f"{results / CONF} names no dataset in run: damaged? Restore it")
    try:
        config, run = config_from_json(fields), RunOptions(**run)
    except SettingError as error:
        raise SettingError(f"{results / CONF}: {error}", *error.keys) from None
    return Experiment(experiment_id, config, run, results, pathlib.Path(logs_root) / experiment_id)


def end_of(experiment):
    """The step at which its training ends, by conf.json as it is now."""
    now = load_experiment(experiment.id, experiment.results.parent, experiment.logs.parent)
    latest = read_latest(now.results / CONF).get("max_num_steps")
    return min(now.config.num_steps, latest) if isinstance(latest, int) else now.num_steps
