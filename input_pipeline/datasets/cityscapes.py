"""Cityscapes: streets of 50 cities, 2048x1024, 19 classes; finely labelled, and 19,998 more images coarsely.

M. Cordts et al. The Cityscapes Dataset for Semantic Urban Scene Understanding. CVPR 2016, arXiv:1604.01685.

The masks are `_labelIds.png`, or `_labelTrainIds.png` if a tree has only those. The test split is left out, since its masks are
not public: those that come with it show only the car's own bonnet and the border of the picture.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import files, listing
from input_pipeline.source.annotations import beside
from input_pipeline.source.annotations import ids as ids_of
from input_pipeline.source.class_tables import Class
from input_pipeline.source.files import IGNORE

CLASSES = (
    Class("road", (128, 64, 128), 7),
    Class("sidewalk", (244, 35, 232), 8),
    Class("building", (70, 70, 70), 11),
    Class("wall", (102, 102, 156), 12),
    Class("fence", (190, 153, 153), 13),
    Class("pole", (153, 153, 153), 17),
    Class("traffic light", (250, 170, 30), 19),
    Class("traffic sign", (220, 220, 0), 20),
    Class("vegetation", (107, 142, 35), 21),
    Class("terrain", (152, 251, 152), 22),
    Class("sky", (70, 130, 180), 23),
    Class("person", (220, 20, 60), 24),
    Class("rider", (255, 0, 0), 25),
    Class("car", (0, 0, 142), 26),
    Class("truck", (0, 0, 70), 27),
    Class("bus", (0, 60, 100), 28),
    Class("train", (0, 80, 100), 31),
    Class("motorcycle", (0, 0, 230), 32),
    Class("bicycle", (119, 11, 32), 33),
)
IGNORED = (
    Class("unlabeled", (0, 0, 0), 0),
    Class("ego vehicle", (0, 0, 0), 1),
    Class("rectification border", (0, 0, 0), 2),
    Class("out of roi", (0, 0, 0), 3),
    Class("static", (0, 0, 0), 4),
    Class("dynamic", (111, 74, 0), 5),
    Class("ground", (81, 0, 81), 6),
    Class("parking", (250, 170, 160), 9),
    Class("rail track", (230, 150, 140), 10),
    Class("guard rail", (180, 165, 180), 14),
    Class("bridge", (150, 100, 100), 15),
    Class("tunnel", (150, 120, 90), 16),
    Class("polegroup", (153, 153, 153), 18),
    Class("caravan", (0, 0, 90), 29),
    Class("trailer", (0, 0, 110), 30),
    Class("license plate", (0, 0, 142), IGNORE),  # -1, in 8 bits
)
THINGS = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")  # the classes with instances
CATEGORIES = {  # of the benchmark's second score; a class taken for another one of its category is right
    "flat": ("road", "sidewalk"),
    "construction": ("building", "wall", "fence"),
    "object": ("pole", "traffic light", "traffic sign"),
    "nature": ("vegetation", "terrain"),
    "sky": ("sky",),
    "human": ("person", "rider"),
    "vehicle": ("car", "truck", "bus", "train", "motorcycle", "bicycle"),
}
SPLITS = {"train": 2975, "val": 500}
TRAIN_EXTRA = 19998


class Builder(builder.Builder):
    """Cityscapes: streets of 50 cities, seen from a car."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://www.cityscapes-dataset.com"
    LICENCE = "Cityscapes terms of use: research and other non-commercial purposes"
    LAYOUT = (
        "leftImg8bit/{train,val}/CITY/*_leftImg8bit.png and gtFine/{train,val}/CITY/*_gtFine_labelIds.png, or the archives "
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip as they are; for the coarse labels also train_extra in "
        f"leftImg8bit and gtCoarse, or leftImg8bit_trainextra.zip and gtCoarse.zip. To obtain them: register at {URL}"
    )

    def __init__(self, source: Path, cache: Path, *, train: str = "fine", boxes: bool = False, instances: bool = False):
        """`train` is what the train split holds: `fine`, `coarse` (train_extra) or `fine+coarse`; val is always fine.

        `boxes` adds the boxes around the polygons of people and vehicles, from `_polygons.json`; groups have none. `instances`
        adds the instances of the same classes, from `_instanceIds.png`, with the boxes around their visible pixels.
        """
        kinds = train.split("+")
        if kinds not in (["fine"], ["coarse"], ["fine", "coarse"]):
            raise ValueError(f"Expected cityscapes(train='fine'|'coarse'|'fine+coarse'). Received: train={train!r}.")
        if "coarse" in kinds and not _folder(source, "gtCoarse", "train_extra").is_dir():
            raise FileNotFoundError(
                f"Expected in data_dir {self.LAYOUT}. Received: {source}: no train_extra in gtCoarse."
            )
        parts = {"fine": ("gtFine", "train"), "coarse": ("gtCoarse", "train_extra")}
        parts = {"train": [parts[kind] for kind in kinds], "val": [("gtFine", "val")]}
        masks = [(_folder(source, kind, split), kind) for split in parts for kind, split in parts[split]]
        if any(listing.stems(folder, f"_{kind}_labelIds") for folder, kind in masks):
            ids, classes, ignored = "labelIds", CLASSES, IGNORED
        else:
            ids, ignored = "labelTrainIds", (Class("ignored", (0, 0, 0), IGNORE),)
            classes = tuple(dataclasses.replace(c, raw=i) for i, c in enumerate(CLASSES))
        wanted = "instances" if instances else "boxes" if boxes else ""
        splits = {
            split: [example for kind, folder in parts[split] for example in _pairs(source, kind, folder, ids, wanted)]
            for split in SPLITS
        }
        super().__init__(
            source,
            cache,
            classes=classes,
            ignored=ignored,
            splits=splits,
            boxes=boxes,
            instances=instances,
            options={"train": train, "boxes": boxes, **({"instances": True} if instances else {})},
        )


def _pairs(source, kind, split, ids, wanted):
    """The images of a split with their masks of a kind, gtFine or gtCoarse, and with the `boxes` or `instances` wanted."""
    images, masks = (_folder(source, top, split) for top in ("leftImg8bit", kind))
    found = listing.pairs(images, masks, "_leftImg8bit", f"_{kind}_{ids}")
    if wanted == "boxes":
        return beside(found, masks, f"_{kind}_polygons.json", ids_of(CLASSES, THINGS))
    return [_with_instances(e, masks / f"{e.id}_{kind}_instanceIds.png") for e in found] if wanted else found


def _with_instances(example, path):
    """The example with the instances in a file of the tree or of an archive."""
    file, name = (path.file, path.name) if isinstance(path, listing.Part) else (path, "")
    return dataclasses.replace(example, instances=listing.Part(file, name, functools.partial(_instances, path)))


def _instances(path):
    """The ids of a file, 1000 times the raw id of the class plus a number; groups have the raw id alone, and become 0."""
    ids = files.decode_mask(path.read() if isinstance(path, listing.Part) else files.read(path))
    things = [c.raw for c in CLASSES if c.name in THINGS]
    return np.where(np.isin(ids // 1000, things), ids, 0)


def _folder(source, kind, split):
    """The folder `kind/split` of the tree or of one of its archives."""
    folder = source / kind / split
    if folder.is_dir():
        return folder
    zipped = (listing.Zipped(path, f"{kind}/{split}") for path in sorted(source.glob(f"{kind}*.zip")))
    return next((found for found in zipped if found.is_dir()), folder)
