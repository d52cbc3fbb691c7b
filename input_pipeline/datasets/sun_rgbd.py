"""SUN RGB-D: 10,335 indoor images of four depth cameras, 37 classes; the colour images only.

S. Song, S. P. Lichtenberg, J. Xiao. SUN RGB-D: A RGB-D scene understanding benchmark suite. CVPR 2015.

We read the images and masks that A. Handa unpacked, since the official archive has all masks in one MATLAB file that
needs 64 GB of memory. The masks are numbered 1 to 10335: 1 to 5050 are test, 5051 to 10335 are train. In each of the
two image archives the numbers begin with 1. The published splits are train and test. `val_fraction` makes a val split
from a part of train.
"""

import re
from pathlib import Path

import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import listing
from input_pipeline.source.class_tables import Class, voc_color

# seg37list.mat of the official toolbox; there is no official palette. The first 37 of NYUv2's 40 classes are the same.
NAMES = (
    "wall",
    "floor",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "blinds",
    "desk",
    "shelves",
    "curtain",
    "dresser",
    "pillow",
    "mirror",
    "floor_mat",
    "clothes",
    "ceiling",
    "books",
    "fridge",
    "tv",
    "paper",
    "towel",
    "shower_curtain",
    "box",
    "whiteboard",
    "person",
    "night_stand",
    "toilet",
    "sink",
    "lamp",
    "bathtub",
    "bag",
)
CLASSES = tuple(Class(name, voc_color(i + 1), i + 1) for i, name in enumerate(NAMES))
IGNORED = (Class("unlabelled", (0, 0, 0), 0),)
SPLITS = {"train": 5285, "test": 5050}
BEFORE = {"train": 5050, "test": 0}  # number of masks before those of the split


class Builder(builder.Builder):
    """SUN RGB-D: indoor images, 37 classes."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://github.com/ankurhanda/sunrgbd-meta-data"
    LICENCE = "none stated: for research, with a citation of the paper"
    LAYOUT = (
        "SUNRGBD-train_images/img-000001.jpg to 005285, SUNRGBD-test_images/img-000001.jpg to 005050 and "
        "sunrgbd_train_test_labels/img-000001.png to 010335. To obtain them: unpack each archive that the README of "
        f"{URL} names in a folder of its name"
    )

    def __init__(self, source: Path, cache: Path, *, val_fraction: float = 0.0, seed: int = 0):
        """`val_fraction` of the train images become the val split; another `seed` chooses others."""
        splits = {split: _pairs(source, split) for split in SPLITS}
        super().__init__(
            source,
            cache,
            classes=CLASSES,
            ignored=IGNORED,
            splits=splits | listing.held_out(splits["train"], val_fraction, seed),
            options={"val_fraction": val_fraction, "seed": seed},
        )


def _pairs(source, split):
    """The images of a split with their masks; each pair has the name of the mask."""
    folder = source / f"SUNRGBD-{split}_images"
    examples = []
    for stem, path in listing.stems(folder).items():
        number = re.fullmatch(r"img-(\d{6})", stem)
        if not number or not 0 < int(number[1]) <= SPLITS[split]:
            raise ValueError(
                f"Expected images img-000001 to img-{SPLITS[split]:06} in {folder}. Received: {path.name}. "
                "Unpack the archive again: the number says which mask is the image's."
            )
        name = f"img-{BEFORE[split] + int(number[1]):06}"
        examples.append(listing.Example(name, path, source / "sunrgbd_train_test_labels" / f"{name}.png"))
    return examples
