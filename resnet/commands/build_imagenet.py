"""Writes ImageNet as TFRecord shards, in parallel, and goes on where it was stopped.

    resnet build-imagenet --train_dir train --validation_dir val \\
        --validation_labels labels.txt --bounding_boxes boxes.csv --output_dir data/imagenet

Folders may be archives as published (.tar). --raw_dir finds all of them in one
folder. Images that cannot be read are named, counted and left out; shards that are
complete are kept. ./setup.sh --imagenet RAW_DIR calls this.
"""

import dataclasses
import os

from resnet.data.imagenet.shards import NUM_SHARDS

ESSENTIAL = ("raw_dir", "output_dir")
RAW, SHARDS = "Raw data", "Shards"
# Flags that name what to read, each with its help.
SOURCES = {
    "train_dir": "Class folders of training images, or a .tar.",
    "validation_dir": "The same, or validation images in one folder.",
    "validation_labels": "Their classes: lines of SYNSET or FILE_NAME SYNSET.",
    "bounding_boxes": "CSV of file name,xmin,ymin,xmax,ymax, or published XML.",
    "synset_names": "Lines of SYNSET words, for image/class/text.",
}


def define_flags(flags):
    """Defines the command's flags."""
    flags.text(RAW, "raw_dir", "Folder to find what other flags do not name in.")
    for name, text in SOURCES.items():
        flags.text(RAW, name, text)
    flags.text(SHARDS, "output_dir", "Folder of the shards.", "./data/imagenet")
    for split, num_shards in NUM_SHARDS.items():
        flags.integer(
            SHARDS,
            f"{split}_shards",
            f"Files of {split} images.",
            low=1,
            default_text=f"{num_shards}, fewer for few images",
        )
    flags.integer(
        SHARDS, "num_workers", "Processes that check and write images.", os.cpu_count(), low=1
    )
    flags.switch(SHARDS, "strict", "End at the first image that cannot be read.")


def main(flags):
    """Builds the splits whose images are given."""
    from resnet.data.imagenet.build import Sources, Writing, build_imagenet, find_published

    sources = Sources(**{name: getattr(flags, name) for name in SOURCES})
    if flags.raw_dir is not None:
        sources = find_published(flags.raw_dir, sources)
    for name, place in dataclasses.asdict(sources).items():
        if place:
            print(f"{name}: {place}", flush=True)
    num_shards = {split: getattr(flags, f"{split}_shards") for split in NUM_SHARDS}
    build_imagenet(sources, flags.output_dir, Writing(num_shards, flags.num_workers, flags.strict))
