"""Class folders of images: which images there are, of which class, and what each is for."""

import dataclasses
import hashlib
import pathlib

from resnet.errors import DataError

TRAIN, TESTS = "train", ("test", "val", "validation", "valid")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
HELD_OUT = 1 / 5  # share of images, where there is no folder of test images
SEED = 0  # of which ones


@dataclasses.dataclass(frozen=True)
class Tree:
    """Image files and their classes.

    label_names: of the classes, their folders' names in order.
    train, test: [(path, label)], in the order of paths.
    is_held_out: whether `test` is a part of the folder's only images.
    """

    label_names: tuple[str, ...]
    train: list[tuple[pathlib.Path, int]]
    test: list[tuple[pathlib.Path, int]]
    is_held_out: bool


def find_tree(folder):
    """The Tree of a folder with train/ and test/ (or val/), each of class folders; or of one.

    Of a folder that holds class folders itself, about a fifth of each class's images is the test
    split, one at least. An image's name decides, so that it stays where it is whatever is added or
    taken away; only of a class without a name that is held out, the next one is.

    Raises:
      DataError: nothing there, or no classes to tell apart; says what is missing where.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"no folder {str(folder)!r}: give one of class folders with --data_folder, or one with "
            f"{TRAIN}/ and {TESTS[0]}/ of them"
        )
    root = folder / TRAIN if (folder / TRAIN).is_dir() else folder
    classes = _classes(root)
    if len(classes) < 2:
        found = f"only one, {', '.join(classes)}" if classes else "none"
        raise DataError(
            f"{root} needs two class folders or more, of images each, and has {found}: give the "
            "images of each class a folder of its own"
        )
    names = tuple(classes)
    images = [(path, label) for label, name in enumerate(names) for path in classes[name]]
    if empty := [name for name in names if not classes[name]]:
        raise DataError(
            f"{root} has class folders without images ({', '.join(ENDINGS)}): "
            f"{', '.join(empty)}. Fill or remove them, or give another folder with --data_folder"
        )
    if root != folder:
        for name in TESTS:
            if (folder / name).is_dir():
                return Tree(names, images, _of_classes(folder / name, names), False)
    train, test = _divided(root, images, names)
    return Tree(names, train, test, True)


def _classes(root):
    """{class: [path]}, both sorted."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    return {
        folder.name: sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in ENDINGS and not path.name.startswith(".")
        )
        for folder in folders
    }


def _of_classes(root, names):
    """[(path, label)] of test images.

    Raises:
      DataError: none, or a class that no training image has.
    """
    classes = _classes(root)
    if unknown := sorted(classes.keys() - names):
        raise DataError(
            f"{root} has classes that {TRAIN}/ has not: {', '.join(unknown)}. Remove them, or add "
            "training images"
        )
    found = [(path, names.index(name)) for name, paths in classes.items() for path in paths]
    if not found:
        raise DataError(f"{root} has no images: fill or remove it")
    return found


def _divided(root, images, names):
    """(train, test) of all images, class by class."""
    train, test = [], []
    for label, name in enumerate(names):
        own = [path for path, one in images if one == label]
        if len(own) < 2:
            raise DataError(
                f"{root / name} has one image, and two are needed where there is no folder "
                f"{TESTS[0]}/: one to train on, one to test with"
            )
        draws = {path: _draw(path, root) for path in own}
        limit = max(HELD_OUT, min(draws.values()))
        held_out = {path for path in own if draws[path] <= limit}
        if len(held_out) == len(own):
            held_out.remove(max(own, key=draws.get))
        train += [(path, label) for path in own if path not in held_out]
        test += [(path, label) for path in own if path in held_out]
    return train, test


def _draw(path, root):
    """A number in [0, 1) that depends on a file's name alone."""
    name = f"{SEED}/{path.relative_to(root).as_posix()}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
