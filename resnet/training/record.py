"""Records of finished experiments: what is known of them, without their checkpoints."""

import dataclasses
import pathlib
import shutil

from resnet.configs import read_json
from resnet.errors import DataError, UserError
from resnet.files import remove, written_beside
from resnet.training.conf import CONF
from resnet.training.logs import COMMANDS
from resnet.training.result import read_result
from resnet.weights.folder import RESULT

# What the pages made of records say.
NEEDED = ("training_seconds", "evaluation_seconds", "peak_mb", "machine", "versions")


@dataclasses.dataclass(frozen=True)
class Record:
    """What is known of a finished experiment.

    folder: of conf.json, result.json, cmd.txt and CSV logs; its name is the experiment's id.
    conf, result: content of conf.json and result.json.
    """

    folder: pathlib.Path
    conf: dict
    result: dict

    @property
    def id(self):
        """The experiment's."""
        return self.folder.name


def keep_records(results, logs, keep, is_wanted):
    """Copies the records of finished experiments that are new or have changed.

    Args:
      results, logs: folders of experiments.
      keep: folder of the records, one folder each.
      is_wanted: (id) -> bool.

    Returns:
      [str], ids of what was copied.

    Raises:
      DataError: an experiment lacks a file.
    """
    copied = []
    for result in sorted(pathlib.Path(results).glob(f"*/{RESULT}")):
        source, name = result.parent, result.parent.name
        target = pathlib.Path(keep) / name
        if not is_wanted(name) or _is_same(result, target / RESULT):
            continue
        files = [source / CONF, result, *(pathlib.Path(logs) / name).glob("*.csv")]
        with written_beside(target) as temporary:
            temporary.mkdir()
            for file in [*files, pathlib.Path(logs) / name / COMMANDS]:
                if not file.exists():
                    raise DataError(
                        f"experiment {name} has no {file}: give the folders where it is whole "
                        "with --results and --logs"
                    )
                shutil.copyfile(file, temporary / file.name)
            remove(target)
        copied.append(name)
    return copied


def _is_same(one, other):
    return other.exists() and one.read_bytes() == other.read_bytes()


def read_records(keep, is_wanted):
    """[Record] of a folder of records, by id.

    Raises:
      DataError: one is damaged.
    """
    found = []
    for path in sorted(pathlib.Path(keep).glob(f"*/{RESULT}")):
        if not is_wanted(path.parent.name):
            continue
        try:
            conf, result = read_json(path.parent / CONF), read_result(path)
            if missing := [name for name in NEEDED if name not in result]:
                raise DataError(f"{path} has no {', '.join(missing)}")
            if not isinstance(conf.get("batch_size"), int):
                raise DataError(f"{path.parent / CONF} has no batch_size")
        except (OSError, UserError) as error:
            raise DataError(
                f"the record {path.parent} is damaged ({error}): remove it, and write the page "
                "again where the experiment is"
            ) from None
        found.append(Record(path.parent, conf, result))
    return found
