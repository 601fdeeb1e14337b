"""ImageNet's shards of raw images, written in parallel; goes on where it was stopped.

Images that cannot be read are named, counted and left out; shards that are complete are
kept.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import multiprocessing
import pathlib
import random
import signal
import zlib

from tqdm import tqdm

from resnet.data.imagenet.annotations import read_boxes, read_synset_names, read_validation_labels
from resnet.data.imagenet.index import Index, read_index, write_index
from resnet.data.imagenet.raw_images import list_images
from resnet.data.imagenet.shards import NUM_SHARDS, find_shards
from resnet.data.imagenet.writer import problems_path, start_worker, write_shard
from resnet.data.layout import list_shards, shard_name
from resnet.errors import DataError, UsageError
from resnet.files import make_folder, remove, remove_leftovers, write_text
from resnet.ownership import owned

SPLITS = tuple(NUM_SHARDS)
MIN_IMAGES_PER_SHARD = 16  # unless the number of shards is given
SHUFFLE_SEED = 0
# What `find_published` looks for, first match first.
PUBLISHED = {
    "train_dir": ("train", "ILSVRC2012_img_train.tar"),
    "validation_dir": ("validation", "val", "ILSVRC2012_img_val.tar"),
    "validation_labels": (
        "validation_labels.txt",
        "imagenet_2012_validation_synset_labels.txt",
        "LOC_val_solution.csv",
        "ILSVRC2012_bbox_val_v3.tgz",
    ),
    "bounding_boxes": (
        "imagenet_2012_bounding_boxes.csv",
        "ILSVRC2012_bbox_train_v2.tar.gz",
        "bounding_boxes",
    ),
    "synset_names": ("LOC_synset_mapping.txt", "imagenet_metadata.txt"),
}


@dataclasses.dataclass(frozen=True)
class Sources:
    """Paths of what to read, each or None.

    train_dir: class folders of training images, or a .tar as published.
    validation_dir: the same, or validation images in one folder.
    validation_labels: their classes; see `annotations.read_validation_labels`.
    bounding_boxes: see `annotations.read_boxes`.
    synset_names: lines of SYNSET words.
    """

    train_dir: str | None = None
    validation_dir: str | None = None
    validation_labels: str | None = None
    bounding_boxes: str | None = None
    synset_names: str | None = None


@dataclasses.dataclass(frozen=True)
class Writing:
    """How shards are written.

    num_shards: {split: number of files}; a split that it lacks gets everyone's number,
      or fewer for few images.
    num_workers: processes that check and write images.
    strict: whether the first image that cannot be read ends it.
    """

    num_shards: dict[str, int | None] = dataclasses.field(default_factory=dict)
    num_workers: int = 1
    strict: bool = False


def find_published(folder: str | pathlib.Path, sources: Sources) -> Sources:
    """`sources`, with what they lack looked for in a folder under its published names.

    Raises:
      DataError: no folder, or no images in it.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: give the one that holds ImageNet's archives")
    found = {}
    for name, candidates in PUBLISHED.items():
        here = [folder / candidate for candidate in candidates if (folder / candidate).exists()]
        found[name] = getattr(sources, name) or (str(here[0]) if here else None)
    if not found["train_dir"] and not found["validation_dir"]:
        wanted = [*PUBLISHED["train_dir"], *PUBLISHED["validation_dir"]]
        raise DataError(f"{folder} holds no ImageNet: it should have {', '.join(wanted)}")
    return Sources(**found)


def build_imagenet(sources: Sources, output: str | pathlib.Path, writing: Writing) -> None:
    """Builds the splits whose images are given.

    Args:
      sources: Sources.
      output: folder of the shards.
      writing: Writing.

    Raises:
      UsageError: nothing to build, no classes, too many shards, or other shards there.
      DataError: something to read is missing or malformed, or `strict`.
    """
    folders = {"train": sources.train_dir, "validation": sources.validation_dir}
    images = {
        split: list_images(folder, split == "train") for split, folder in folders.items() if folder
    }
    if not images:
        raise UsageError("nothing to build: give --train_dir, --validation_dir or --raw_dir")
    output = pathlib.Path(output)
    boxes = read_boxes(sources.bounding_boxes) if sources.bounding_boxes else {}
    texts = read_synset_names(sources.synset_names) if sources.synset_names else {}
    with owned(output):
        synsets = _synsets(images, _read_index(output))
        _require_same_classes(output, synsets)
        ranks = {synset: rank for rank, synset in enumerate(synsets)}
        boxes = _Boxes(boxes, ranks)
        records = {}
        for split, found in images.items():
            labels = _labels(split, found, sources.validation_labels, synsets)
            records[split] = [
                (image, ranks[synset] + 1, synset, texts.get(synset, ""), boxes.of(image, synset))
                for image, synset in zip(found, labels, strict=True)
            ]
            random.Random(SHUFFLE_SEED).shuffle(records[split])
        remove_leftovers(output)
        for split in images:
            _build_split(split, records[split], synsets, output, writing)


class _Boxes:
    """Boxes under the name CLASS/FILE or FILE of the one image that they are of."""

    def __init__(self, boxes, synsets):
        self._boxes, self._images = {}, {}
        for (folder, stem), found in boxes.items():
            self._boxes.setdefault((folder if folder in synsets else "", stem), []).extend(found)

    def of(self, image, synset):
        stem = pathlib.PurePosixPath(image.name).stem
        key = (synset, stem) if (synset, stem) in self._boxes else ("", stem)
        found = self._boxes.get(key, [])
        if found and (other := self._images.setdefault(key, image)) is not image:
            raise DataError(
                f"--bounding_boxes has boxes of {image.name}, the name of {other} and of {image}: "
                f"call it CLASS/{image.name} there, or give one of the two another name"
            )
        return found


def _require_same_classes(output, synsets):
    """Checks that no shards are there whose labels mean other classes."""
    before = _read_index(output).synsets
    there = [split for split in SPLITS if list_shards(output, split)]
    if before and there and before != tuple(synsets):
        raise UsageError(
            f"{output} holds {' and '.join(there)} shards of {len(before)} classes, which are not "
            f"the {len(synsets)} of these images: choose another --output_dir, or remove "
            f"{', '.join(f'{output / split}-*' for split in there)} to build anew"
        )


def _read_index(output):
    """What earlier builds left on record."""
    try:
        return read_index(output)
    except FileNotFoundError:
        return Index()


def _synsets(images, index):
    """The classes by rank: of the training images, of an earlier build, of validation."""
    for split in SPLITS:
        folders = sorted({image.folder for image in images.get(split, ())} - {""})
        if split == "train" and split in images:
            stray = [image for image in images[split] if not image.folder]
            if stray:
                raise DataError(
                    f"{len(stray)} training images lie in no class folder, such as {stray[0]}: "
                    "each must be in a folder named after its class"
                )
        if split == "validation" and index.synsets:
            folders = list(index.synsets)
        if folders:
            return folders
    raise UsageError("validation images without class folders need --train_dir, for the classes")


def _labels(split, images, validation_labels, synsets):
    """Class of each image."""
    if all(image.folder in synsets for image in images):
        return [image.folder for image in images]
    in_classes = [image for image in images if image.folder in synsets]
    if in_classes:
        other = next(image for image in images if image.folder not in synsets)
        raise DataError(
            f"{other} lies in {other.folder or 'no class folder'!r}, which is no class of the "
            f"training images: remove it, or the {len(in_classes)} that lie in class folders"
        )
    if not validation_labels:
        raise UsageError(
            f"the {split} images lie in no class folders: give their classes with "
            "--validation_labels"
        )
    names = [image.name for image in images]
    found = read_validation_labels(validation_labels, names, set(synsets))
    return [found[name] for name in names]


def _build_split(split, records, synsets, output, writing):
    """Writes the shards of a split that are not there yet."""
    few = max(1, len(records) // MIN_IMAGES_PER_SHARD)
    num_shards = writing.num_shards.get(split) or min(NUM_SHARDS[split], few)
    if num_shards > len(records):
        raise UsageError(
            f"--{split}_shards is {num_shards}, but there are {len(records)} images: "
            f"give at most {len(records)}"
        )
    described = json.dumps([(i.folder, i.name, *rest) for i, *rest in records] + [num_shards])
    plan = f"{zlib.crc32(described.encode()):08x}"
    before = _read_index(output).splits.get(split, {}).get("plan")
    if before != plan and list_shards(output, split):
        raise UsageError(
            f"{output} holds {split} shards of other images or flags: choose another "
            f"--output_dir, or remove {output / split}-* to build anew"
        )
    make_folder(output)
    entry = {"plan": plan, "shards": num_shards}
    _record(output, synsets, split, entry)
    parts = [
        (output / shard_name(split, i, num_shards), records[i::num_shards], writing.strict)
        for i in range(num_shards)
    ]
    missing = [part for part in parts if not part[0].exists()]
    kept = len(parts) - len(missing)
    if kept:
        print(f"{split}: {kept} of {num_shards} shards are there already", flush=True)
    num_done = sum(len(records) for path, records, _ in parts if path.exists())
    with tqdm(total=len(records), initial=num_done, desc=split, unit=" images") as progress:
        for path, part, problems in _written(missing, writing.num_workers):
            for problem in problems:
                progress.clear()
                print(f"unreadable, left out: {problem}", flush=True)
            if len(problems) == len(part):
                remove(path)
                raise DataError(
                    f"none of the {len(part)} images of {path.name} can be read: remove them, or "
                    f"give fewer --{split}_shards"
                )
            progress.update(len(part))
    num_images = sum(shard.num_records for shard in find_shards(output, split))
    left_out = len(records) - num_images
    listing = output / f"{split}-unreadable.txt"
    _list_unreadable(listing, [path for path, *_ in parts])
    _record(output, synsets, split, entry | {"images": num_images, "unreadable": left_out})
    print(
        f"{split}: {num_images} images of {len(synsets)} classes in {num_shards} shards"
        + (f"; {left_out} unreadable left out, see {listing}" if left_out else ""),
        flush=True,
    )
    if left_out and writing.strict:
        raise DataError(
            f"{left_out} {split} images were left out when an earlier build was not --strict: "
            f"mend those in {listing}, remove {output / split}-* and build again"
        )


def _record(output, synsets, split, entry):
    """Puts a split's entry on record; another builder may have written the others."""
    splits = _read_index(output).splits | {split: entry}
    write_index(output, Index(tuple(synsets), splits))


def _list_unreadable(listing, shards):
    """Joins what was written beside shards to one list, which may be there from before."""
    notes = [problems_path(path) for path in shards if problems_path(path).exists()]
    if not notes:
        return
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    lines += [line for note in notes for line in note.read_text(encoding="utf-8").splitlines()]
    write_text(listing, "\n".join([*dict.fromkeys(lines), ""]))
    for note in notes:
        remove(note)


@contextlib.contextmanager
def _interrupted_later():
    """Within it, Ctrl-C waits."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _written(parts, num_workers):
    """Writes shards, as many at a time as there are workers; yields (path, records, problems)."""
    num_workers = min(num_workers, len(parts))
    if num_workers <= 1:
        for part in parts:
            yield part[0], part[1], write_shard(*part)
        return
    executor = concurrent.futures.ProcessPoolExecutor(
        num_workers, multiprocessing.get_context("spawn"), start_worker
    )
    try:
        with _interrupted_later():  # which they inherit, until they know what to do
            waiting = {executor.submit(write_shard, *part): part for part in parts}
        for done in concurrent.futures.as_completed(waiting):
            path, records, _ = waiting[done]
            yield path, records, done.result()
    except concurrent.futures.process.BrokenProcessPool:
        raise DataError(
            f"one of {num_workers} workers was killed, for want of memory perhaps: run again with "
            "a lower --num_workers; finished shards are kept"
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)  # shards that are being written are finished
