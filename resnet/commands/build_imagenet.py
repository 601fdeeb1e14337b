"""Writes ImageNet as TFRecord shards, in parallel, and goes on where it was stopped.

    python -m resnet build-imagenet --train_dir train --validation_dir val \\
        --validation_labels labels.txt --bounding_boxes boxes.csv --output_dir data/imagenet

Folders may be archives as published (.tar). --raw_dir finds all of them in one
folder. Images that cannot be read are named, counted and left out; shards that are
complete are kept. ./setup.sh --imagenet RAW_DIR calls this.
"""

import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import random
import zlib

from absl import flags
from tqdm import tqdm

from resnet.commands import cli
from resnet.data.imagenet.annotations import read_boxes, read_synset_names, read_validation_labels
from resnet.data.imagenet.raw_images import list_images
from resnet.data.imagenet.shards import find_shards, shard_name
from resnet.data.imagenet.writer import problems_path, start_worker, write_shard
from resnet.errors import DataError, UsageError
from resnet.files import remove, write_json, write_text

INDEX = "dataset.json"
NUM_SHARDS = {"train": 1024, "validation": 128}  # as everyone's
MIN_IMAGES_PER_SHARD = 16  # unless the number of shards is given
SPLITS = tuple(NUM_SHARDS)
SHUFFLE_SEED = 0
# What --raw_dir looks for, first match first.
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

FLAGS = flags.FLAGS


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_string("raw_dir", None, "Folder to find what other flags do not name in.")
    flags.DEFINE_string("train_dir", None, "Class folders of training images, or a .tar.")
    flags.DEFINE_string("validation_dir", None, "The same, or validation images in one folder.")
    flags.DEFINE_string(
        "validation_labels", None, "Their classes: lines of SYNSET or FILE_NAME SYNSET."
    )
    flags.DEFINE_string(
        "bounding_boxes", None, "CSV of file name,xmin,ymin,xmax,ymax, or published XML."
    )
    flags.DEFINE_string("synset_names", None, "Lines of SYNSET words, for image/class/text.")
    flags.DEFINE_string("output_dir", "./data/imagenet", "Folder of the shards.")
    for split, num_shards in NUM_SHARDS.items():
        flags.DEFINE_integer(
            f"{split}_shards",
            None,
            f"Files of {split} images (default {num_shards}, fewer for few images).",
            lower_bound=1,
        )
    flags.DEFINE_integer(
        "num_workers", os.cpu_count(), "Processes that check and write images.", lower_bound=1
    )
    flags.DEFINE_boolean("strict", False, "End at the first image that cannot be read.")


def main():
    """Builds the splits whose images are given."""
    places = _places()
    images = {split: list_images(p) for split in SPLITS if (p := places[f"{split}_dir"])}
    if not images:
        raise UsageError("nothing to build: give --train_dir, --validation_dir or --raw_dir")
    output = pathlib.Path(FLAGS.output_dir)
    index = _read_index(output)
    synsets = _synsets(images, index)
    labels = {split: _labels(split, images[split], places, synsets) for split in images}
    boxes = read_boxes(places["bounding_boxes"]) if places["bounding_boxes"] else {}
    texts = read_synset_names(places["synset_names"]) if places["synset_names"] else {}
    ranks = {synset: rank for rank, synset in enumerate(synsets)}
    for split in images:
        records = [
            (image, ranks[synset] + 1, synset, texts.get(synset, ""), boxes.get(_stem(image), ()))
            for image, synset in zip(images[split], labels[split], strict=True)
        ]
        random.Random(SHUFFLE_SEED).shuffle(records)
        _build(split, records, synsets, output)


def _stem(image):
    return pathlib.PurePosixPath(image.name).stem


def _places():
    """{flag: path or None} of everything to read, --raw_dir searched for the rest."""
    found = {name: FLAGS[name].value for name in PUBLISHED}
    if FLAGS.raw_dir is not None:
        raw = pathlib.Path(FLAGS.raw_dir)
        if not raw.is_dir():
            raise DataError(f"{raw} is no folder: give the one that holds ImageNet's archives")
        for name, candidates in PUBLISHED.items():
            here = [raw / candidate for candidate in candidates if (raw / candidate).exists()]
            found[name] = found[name] or (str(here[0]) if here else None)
        if not found["train_dir"] and not found["validation_dir"]:
            wanted = [*PUBLISHED["train_dir"], *PUBLISHED["validation_dir"]]
            raise DataError(f"{raw} holds no ImageNet: it should have {', '.join(wanted)}")
    for name, place in found.items():
        if place:
            print(f"{name}: {place}", flush=True)
    return found


def _read_index(output):
    """What earlier builds left on record."""
    try:
        index = json.loads((output / INDEX).read_text(encoding="utf-8"))
        return {"synsets": list(index["synsets"]), "splits": dict(index["splits"])}
    except FileNotFoundError:
        return {"synsets": [], "splits": {}}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(
            f"{output / INDEX} is damaged, or another data set's ({error}): choose another "
            "--output_dir, or remove all of this one"
        ) from None


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
        if split == "validation" and index["synsets"]:
            folders = index["synsets"]
        if folders:
            return folders
    raise UsageError("validation images without class folders need --train_dir, for the classes")


def _labels(split, images, places, synsets):
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
    if not places["validation_labels"]:
        raise UsageError(
            f"the {split} images lie in no class folders: give their classes with "
            "--validation_labels"
        )
    names = [image.name for image in images]
    found = read_validation_labels(places["validation_labels"], names, set(synsets))
    return [found[name] for name in names]


def _build(split, records, synsets, output):
    """Writes the shards of a split that are not there yet."""
    few = max(1, len(records) // MIN_IMAGES_PER_SHARD)
    num_shards = FLAGS[f"{split}_shards"].value or min(NUM_SHARDS[split], few)
    if num_shards > len(records):
        raise UsageError(
            f"--{split}_shards is {num_shards}, but there are {len(records)} images: "
            f"give at most {len(records)}"
        )
    described = json.dumps([(i.folder, i.name, *rest) for i, *rest in records] + [num_shards])
    plan = f"{zlib.crc32(described.encode()):08x}"
    index = _read_index(output)
    before = index["splits"].get(split, {}).get("plan")
    if before != plan and list(output.glob(f"{split}-?????-of-?????")):
        raise UsageError(
            f"{output} holds {split} shards of other images or flags: choose another "
            f"--output_dir, or remove {output / split}-* to build anew"
        )
    output.mkdir(parents=True, exist_ok=True)
    for leftover in output.glob(f"{split}-*.part"):
        remove(leftover)
    entry = {"plan": plan, "shards": num_shards}
    _write_index(output, synsets, split, entry)
    parts = [
        (output / shard_name(split, i, num_shards), records[i::num_shards], FLAGS.strict)
        for i in range(num_shards)
    ]
    missing = [part for part in parts if not part[0].exists()]
    kept = len(parts) - len(missing)
    if kept:
        print(f"{split}: {kept} of {num_shards} shards are there already", flush=True)
    num_done = sum(len(records) for path, records, _ in parts if path.exists())
    with tqdm(total=len(records), initial=num_done, desc=split, unit=" images") as progress:
        for path, part, problems in _written(missing):
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
    _write_index(output, synsets, split, entry | {"images": num_images, "unreadable": left_out})
    print(
        f"{split}: {num_images} images of {len(synsets)} classes in {num_shards} shards"
        + (f"; {left_out} unreadable left out, see {listing}" if left_out else ""),
        flush=True,
    )
    if left_out and FLAGS.strict:
        raise DataError(
            f"{left_out} {split} images were left out when an earlier build was not --strict: "
            f"mend those in {listing}, remove {output / split}-* and build again"
        )


def _write_index(output, synsets, split, entry):
    """Puts a split's entry on record; another builder may have written the others."""
    splits = _read_index(output)["splits"] | {split: entry}
    write_json(output / INDEX, {"synsets": synsets, "splits": splits})


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


def _written(parts):
    """Writes shards, as many at a time as there are workers; yields (path, records, problems)."""
    num_workers = min(FLAGS.num_workers, len(parts))
    if num_workers <= 1:
        for part in parts:
            yield part[0], part[1], write_shard(*part)
        return
    executor = concurrent.futures.ProcessPoolExecutor(
        num_workers, multiprocessing.get_context("spawn"), start_worker
    )
    try:
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


if __name__ == "__main__":
    define_flags()
    cli.run(main)
