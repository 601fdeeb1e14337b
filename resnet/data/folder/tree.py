"""Class folders of images: which images there are, of which class, and what each is for."""

import dataclasses
import hashlib
import pathlib

from resnet.data.photos import ENDINGS
from resnet.errors import DataError
from resnet.files import entries_of, files_below, printable

TRAIN, TESTS = "train", ("test", "val", "validation", "valid")
OTHER_NAMES = {"training": TRAIN, "testing": "test"}
HELD_OUT = 1 / 5  # share of images, where there is no folder of test images
SEED = 0  # of which ones


@dataclasses.dataclass(frozen=True)
class Tree:
    """Image files and their classes.

    label_names: of the classes, their folders' names in order.
    train, test: [(path, label)], in the order of paths.
    held_out: names of `test`, CLASS/FILE, where it is a part of the folder's only images.
    """

    label_names: tuple[str, ...]
    train: list[tuple[pathlib.Path, int]]
    test: list[tuple[pathlib.Path, int]]
    held_out: tuple[str, ...] = ()


def find_tree(folder, held_out=()):
    """The Tree of a folder with train/ and test/ (or val/), each of class folders; or of one.

    Of a folder that holds class folders itself, a fifth of each class's images is the test split,
    one at least.

    Args:
      folder: path.
      held_out: names, CLASS/FILE, of the test split of a folder that has none of its own, as an
        earlier Tree had them; all others train, also those that were added since. Default: the
        images' names decide.

    Raises:
      DataError: nothing there, no classes to tell apart, or nothing to test with; says what is
        missing where.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"no folder {str(folder)!r}: give one of class folders with --data_folder, or one with "
            f"{TRAIN}/ and {TESTS[0]}/ of them"
        )
    splits = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    are_others = not splits.keys() & {TRAIN, *TESTS} and splits.keys() >= OTHER_NAMES.keys()
    if are_others and not any(_has_images(splits[name]) for name in OTHER_NAMES):  # no classes
        splits = {OTHER_NAMES.get(name, name): path for name, path in splits.items()}
    if not (folder / TRAIN).is_dir() and not any(name in splits for name in TESTS):
        splits.pop(TRAIN, None)  # alone and in capitals, it may be a class
    root = splits.get(TRAIN, folder)
    if root == folder:
        _require_no_tests(splits)
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
            if name in splits:
                return Tree(names, images, _of_classes(splits[name], names))
    return _divided(root, images, names, tuple(held_out) or _fifth(root, classes))


def _require_no_tests(splits):
    """Checks that of {name: folder} beside each other none is of test images.

    Raises:
      DataError: one is: it holds folders of images, and a class's would hold images.
    """
    for name in TESTS:
        found = _classes(splits[name]) if name in splits else {}
        if any(found.values()) and not _has_images(splits[name]):
            raise DataError(
                f"{splits[name].parent} has {splits[name].name}/, of class folders, but no "
                f"{TRAIN}/: give the folder of training images that name"
            )


def _has_images(folder):
    """Whether images lie in a folder itself."""
    return any(path.suffix.lower() in ENDINGS for path in folder.iterdir())


def _classes(root):
    """{class: [path]}, both sorted."""
    folders = [path for path in entries_of(root) if path.is_dir()]
    within = (root.resolve(),)  # an image counts once
    return {
        printable(folder.name): sorted(
            path for path in files_below(folder, within) if path.suffix.lower() in ENDINGS
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
        lacks = "images in no class folders" if _has_images(root) else "no images"
        raise DataError(
            f"{root} has {lacks}: put some into folders named like {TRAIN}/'s, or remove it"
        )
    return found


def _divided(root, images, names, held_out):
    """The Tree of a folder without test images of its own.

    Raises:
      DataError: nothing is left to test with, or of a class to train on.
    """
    parts, chosen = ([], []), set(held_out)
    for path, label in images:
        parts[_name(path, root) in chosen].append((path, label))
    train, test = parts
    if not test:
        raise DataError(
            f"{root} has none of the images that were held out to test with, such as "
            f"{held_out[0]}: give the folder that was trained on, or one with {TRAIN}/ and "
            f"{TESTS[0]}/"
        )
    if untrained := set(range(len(names))) - {label for _, label in train}:
        named = ", ".join(names[label] for label in sorted(untrained))
        raise DataError(
            f"{root} has only test images of {named}, which were held out before: add other images"
        )
    return Tree(names, train, test, held_out)


def _fifth(root, classes):
    """Names of a fifth of each class's images, which chance chooses.

    Raises:
      DataError: a class has one image.
    """
    held_out = []
    for name, paths in classes.items():
        if len(paths) < 2:
            raise DataError(
                f"{root / name} has one image, and two are needed where there is no folder "
                f"{TESTS[0]}/: one to train on, one to test with"
            )
        own = sorted((_name(path, root) for path in paths), key=_draw)
        held_out += sorted(own[: max(1, round(HELD_OUT * len(own)))])
    return tuple(held_out)


def _name(path, root):
    """CLASS/FILE."""
    return path.relative_to(root).as_posix()


def _draw(name):
    """What orders images by chance: of an image's name alone, so that few change their place."""
    return hashlib.sha256(f"{SEED}/{name}".encode("utf-8", "surrogateescape")).digest()
