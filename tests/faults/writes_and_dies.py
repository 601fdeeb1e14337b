"""Writes data sets in children that are killed in the middle of it; run as a file by a test.

Arguments: a folder. What is built in the end is looked at by the test.
"""

import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from images import make_tree
from miniature import contents, pack
from resnet.data.cifar import archives, build, records
from resnet.data.imagenet import build as imagenet_build
from resnet.data.imagenet import writer
from resnet.data.imagenet.build import Sources, Writing, build_imagenet


def dying(module, name, calls):
    """Kills the process in a call of a module's function, after so many calls."""
    function, left = getattr(module, name), [calls]

    def last(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    setattr(module, name, last)


def in_child(act, module, name, calls):
    """Runs `act` in a process that dies so."""
    child = os.fork()
    if not child:
        dying(module, name, calls)
        act()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, (name, calls)


folder = pathlib.Path(sys.argv[1])
archive, members, *_ = contents("cifar-10", "binary")
path = pack(archive, members, folder)
make_tree(folder / "train", 3)


def cifar():
    build.build("cifar-10", folder / "data", path, verify=False)


def imagenet():
    sources = Sources(train_dir=str(folder / "train"))
    build_imagenet(sources, folder / "shards", Writing({"train": 3}))


def print_files(title):
    found = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    own = [str(p) for p in found if p.parts[0] in ("data", "shards")]
    print(title, *own, flush=True)


if __name__ == "__main__":
    in_child(cifar, archives, "_read_binary", 3)  # while the archive is read
    in_child(cifar, records, "_example", 9)  # while records are written
    in_child(cifar, records, "write_index", 0)  # before they count
    print_files("killed:")
    in_child(imagenet, writer, "make_example", 2)  # within the first shard
    in_child(imagenet, writer, "make_example", 6)  # within the second
    in_child(imagenet, imagenet_build, "_list_unreadable", 0)  # before they are on record
    print_files("killed:")
    cifar()
    imagenet()
    print_files("built:")
