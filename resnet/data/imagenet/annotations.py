"""What is known of images beside their pixels: boxes, validation labels, class names."""

import collections
import csv
import math
import pathlib
import xml.etree.ElementTree

from resnet.data.tar import TAR_ERRORS, members_of, open_tar
from resnet.errors import DataError, shown
from resnet.files import printable


def _stem(name):
    return pathlib.PurePosixPath(name).stem


def _lines(path):
    """(line number, text) of the lines of a text file that are not empty."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text") from None
    return [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]


def read_boxes(path):
    """Bounding boxes of images.

    Args:
      path: a CSV file of `file name,xmin,ymin,xmax,ymax` in fractions of the image's
        width and height; or a folder or archive of annotations as published (XML).

    Returns:
      {(name of the folder that the name has or "", file name without suffix): [(xmin, ymin, xmax,
      ymax)]}, within [0, 1].

    Raises:
      DataError: missing, unreadable or malformed; names the line.
    """
    path = pathlib.Path(path)
    found = {}
    if path.suffix == ".csv":
        for number, line in _lines(path):
            try:
                name, *corners = next(csv.reader([line]))
                box = tuple(map(float, corners))
                if len(box) != 4 or not all(map(math.isfinite, box)):
                    raise ValueError
            except (ValueError, csv.Error):
                raise DataError(
                    f"{path}, line {number}: {shown(line)} is not file name,xmin,ymin,xmax,ymax"
                ) from None
            _add_box(found, name, box)
    else:
        for name, root in _annotations(path):
            for box in _boxes_of(root):
                _add_box(found, name, box)
    return found


def _add_box(found, name, box):
    xmin, ymin, xmax, ymax = (min(max(corner, 0.0), 1.0) for corner in box)
    if xmin < xmax and ymin < ymax:  # some published ones have no area
        key = printable(pathlib.PurePosixPath(name).parent.name), _stem(name)
        found.setdefault(key, []).append((xmin, ymin, xmax, ymax))


def _annotations(path):
    """(name, XML root) of the annotations in a folder or archive."""
    name = path
    try:
        if path.is_dir():
            for name in sorted(path.rglob("*.xml")):
                yield name.as_posix(), xml.etree.ElementTree.parse(name).getroot()
        elif path.is_file():
            with open(path, "rb") as file, open_tar(file) as archive:
                for member in members_of(archive):
                    if member.name.endswith(".xml"):
                        name = f"{path}: {member.name}"
                        content = archive.extractfile(member).read()
                        yield member.name, xml.etree.ElementTree.fromstring(content)
        else:
            raise DataError(f"{path} does not exist")
    except (*TAR_ERRORS, xml.etree.ElementTree.ParseError) as error:
        raise DataError(f"{name} cannot be read ({error}): truncated? Fetch it again") from None


def _boxes_of(root):
    """Boxes of one annotation, relative to the size that the annotator saw."""
    try:
        width, height = (float(root.find(f"size/{side}").text) for side in ("width", "height"))
        for box in root.iterfind("object/bndbox"):
            xmin, ymin, xmax, ymax = (
                float(box.find(corner).text) for corner in ("xmin", "ymin", "xmax", "ymax")
            )
            yield xmin / width, ymin / height, xmax / width, ymax / height
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):
        return


def read_validation_labels(path, names, synsets):
    """Classes of validation images that lie in one folder.

    Args:
      path: a text file of lines `SYNSET`, in the order of the sorted file names, or
        `FILE_NAME SYNSET` (separated by a comma, a tab or blanks; more may follow);
        or the published archive of the validation images' bounding boxes.
      names: file names.
      synsets: the known classes.

    Returns:
      {file name: synset} of all `names`.

    Raises:
      DataError: missing, malformed, or not one label for every image.
    """
    path, names = pathlib.Path(path), sorted(names)
    numbers = collections.Counter(names)
    if twice := [name for name in names if numbers[name] > 1]:
        raise DataError(
            f"{numbers[twice[0]]} images are called {twice[0]}, and {path} tells them apart by "
            "name: rename them, or put each into the folder of its class"
        )
    if path.is_dir() or path.suffix in (".tgz", ".gz", ".tar"):
        labels = [(name, root.findtext("object/name")) for name, root in _annotations(path)]
    else:
        labels = _labels_of_lines(path, names, synsets)
    found = _Labels(path, labels)
    stems = collections.Counter(map(_stem, names))
    classes = {name: found.of(name, is_one=stems[_stem(name)] == 1) for name in names}
    missing = [name for name in names if classes[name] not in synsets]
    if missing:
        raise DataError(
            f"{path} has no known class for {len(missing)} of {len(names)} images, such as "
            f"{missing[0]}"
        )
    return classes


def _labels_of_lines(path, names, synsets):
    """[(file name, synset)] of a text file of labels."""
    lines = [(number, line.strip(", \t")) for number, line in _lines(path)]
    lines = [(number, line) for number, line in lines if line]
    if all(line in synsets or len(line.replace(",", " ").split()) == 1 for _, line in lines):
        if len(lines) != len(names):
            raise DataError(f"{path} has {len(lines)} labels for {len(names)} images")
        rows = [(n, name, label) for (n, label), name in zip(lines, names, strict=True)]
    else:
        stems = set(map(_stem, names))
        rows = [(number, *_name_and_label(line, stems, synsets)) for number, line in lines]
        if _stem(rows[0][1]) not in stems:
            rows = rows[1:]  # a header
    for number, _, label in rows:
        if label not in synsets:
            raise DataError(
                f"{path}, line {number}: {shown(label)} is none of the {len(synsets)} "
                f"classes, which are named like {min(synsets)}. Give one of those for each "
                "image"
            )
    return [(name, label) for _, name, label in rows]


def _name_and_label(line, stems, synsets):
    """(file name, class) of a line in which more may follow; either may have blanks."""
    for separator in (",", "\t", None):  # that which ends an image's name
        name, *rest = (part.strip() for part in line.split(separator, 1))
        suffix = pathlib.PurePosixPath(name).suffix
        if rest and _stem(name) in stems and not any(map(str.isspace, suffix)):
            break
    label = rest[0] if rest else ""
    word = [*label.replace(",", " ").split(), ""][0]
    cell = label.partition(separator)[0].strip() if separator else word
    return name, next((one for one in (label, cell) if one in synsets), word)


class _Labels:
    """Classes under file names, with or without a suffix.

    Raises:
      DataError: an image has two.
    """

    def __init__(self, path, labels):
        self._by_name, self._by_stem = {}, {}
        for name, label in labels:
            own = pathlib.PurePosixPath(name).name
            if (before := self._by_name.setdefault(own, label)) != label:
                raise DataError(
                    f"{path} has two classes for {own}, {before} and {label}: give a file of the "
                    "validation images alone, each once"
                )
            self._by_stem.setdefault(_stem(name), set()).add(label)

    def of(self, name, is_one):
        """The class of an image; None: it has none.

        Args:
          name: of its file.
          is_one: whether it alone has that name without its suffix.
        """
        if name in self._by_name:
            return self._by_name[name]
        labels = self._by_stem.get(_stem(name), ()) if is_one else ()
        return next(iter(labels)) if len(labels) == 1 else None


def read_synset_names(path):
    """{synset: words for it} of a text file with lines `SYNSET words`."""
    rows = (line.split(maxsplit=1) for _, line in _lines(path))
    return {row[0]: row[1] if len(row) > 1 else "" for row in rows}
