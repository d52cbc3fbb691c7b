r"""A folder of anybody's images and masks.

    classes.csv           id,name or id,name,r,g,b: one row per class, in the order of the train ids, at least two; rows named
                          `ignore` are ids (and colours) of pixels that do not count; 255 is ignored if no row has it
    images/**, masks/**   the same names, of any extension: images png jpg bmp webp tiff, masks png bmp tiff
    boxes/**              with `folder(boxes="boxes")`: NAME.xml of PASCAL VOC or NAME.json of Cityscapes, whose objects have
                          the classes' names; or `folder(boxes="boxes.txt")`, lines `name.jpg x1 y1 x2 y2 id ...` with a
                          name below images/ and the ids of classes.csv

A mask holds ids (palette, gray, 16-bit, also below 0) or, if classes.csv has r,g,b, the colours of the classes.

The splits come from the first of these that exists: the file of `folder(list="pairs.txt")`, of which a fifth becomes val;
the lists train.txt, val.txt and test.txt; the folders images/train, images/val and images/test. If there is none of them, a
fifth of all images becomes val. That fifth is chosen by name. With `folder(group="(.*)_\d+")`, a regular expression, images
whose names have the same first group stay in one split, for example the frames of a video or the photos of a patient.
`source/lists.py` describes the lists.
"""

import dataclasses
from pathlib import Path

import tensorflow_datasets as tfds
from absl import logging

from input_pipeline.preparation import builder
from input_pipeline.source import class_tables, foreign, listing, lists, missing, walk
from input_pipeline.source.annotations import annotation, ids, listed
from input_pipeline.source.files import IGNORE

SPLITS = ("train", "val", "test")
VAL_FRACTION = 0.2
_OTHERWISE = {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}  # other names for the splits


class Builder(builder.Builder):
    """Your own images and masks."""

    VERSION = tfds.core.Version("1.0.0")
    LICENCE = "your own"
    LAYOUT = "images/, masks/ with files of the same names, and classes.csv with the header id,name or id,name,r,g,b"

    def __init__(
        self,
        source: Path,
        cache: Path,
        *,
        list: str = "",  # noqa: A002
        val_fraction: float | None = None,
        seed: int = 0,
        boxes: str = "",
        group: str = "",
    ):
        """`list` names the file of pairs. `val_fraction` of the images become val; another `seed` chooses others.

        `boxes` names the folder of annotations, or the text list, of boxes. `group` is a regular expression. Images for
        which its first group (or, if it has none, the whole match) is the same text stay in one split.
        """
        # If the folder is an export of a tool, the error says so instead of what is missing.
        if not (source / "classes.csv").is_file() or not (list or _has_pictures(source / "masks")):
            told = foreign.recognise(source)
            if told:
                raise FileNotFoundError(f"Expected {self.LAYOUT}. Received: {told}")
        classes, ignored, by_color = class_tables.read(source / "classes.csv")
        given = {split: source / f"{split}.txt" for split in SPLITS if (source / f"{split}.txt").is_file()}
        folders = [split for split in SPLITS if (source / "images" / split).is_dir()]
        if not list:
            _check_names(source, given)
        self.chosen_by_name = bool(list or not (given or folders))
        if self.chosen_by_name:
            found = lists.read(source, source / list, "the list") if list else _pairs(source, self.LAYOUT)
            fraction = VAL_FRACTION if val_fraction is None else val_fraction
            splits = listing.held_out(found, fraction, seed, group)
        elif val_fraction is not None or group:
            option = f"group={group!r}" if group else f"val_fraction={val_fraction}"
            raise ValueError(
                f"Expected no {option.partition('=')[0]} where {source} names its splits: {', '.join(given or folders)}. "
                f"Received: {option}. Leave it out, or rename those lists or folders."
            )
        elif given:
            splits = {split: lists.read(source, path, split) for split, path in given.items()}
        else:
            splits = {s: listing.pairs(source / "images" / s, source / "masks" / s, own=True) for s in SPLITS}
            _say_left_out(source / "images", folders)
        if boxes:
            splits = _with_boxes(splits, source, source / boxes, classes, ignored)
        options = {"list": list, "val_fraction": val_fraction, "seed": seed, "boxes": boxes, "group": group}
        super().__init__(
            source, cache, classes=classes, ignored=ignored, by_color=by_color, splits=splits, boxes=bool(boxes),
            options={k: v for k, v in options.items() if v not in (None, "")},
        )  # fmt: skip


def _pairs(source, layout):
    """The images below images/ with their masks."""
    if not (source / "images").is_dir():
        raise missing.no_images(source, layout)
    return listing.pairs(source / "images", source / "masks", own=True)


def _check_names(source, given):
    """Refuses lists and folders whose names are nearly those of splits: we would leave them out or divide them again."""
    images = source / "images"
    inner = [p.name for p in images.iterdir() if p.is_dir()] if images.is_dir() and not given else []
    names = {f"images/{name}": name for name in inner} | {
        name: name.removesuffix(".txt") for name in missing.below_top(source) if name.lower().endswith(".txt")
    }
    for shown, name in sorted(names.items()):
        plain = name.lower().removesuffix(".txt")
        split = _OTHERWISE.get(plain, plain)
        if split in SPLITS and name != split:
            raise ValueError(
                f"Expected splits called {', '.join(SPLITS)}. Received: {source / shown}. Rename it to {split}, and the "
                "folder of its masks too, or give it another name if it is no split."
            )


def _say_left_out(images, folders):
    """Logs which pictures are not in the folder of any split."""
    left = [name for name in walk.below(images) if walk.is_picture(name) and name.partition("/")[0] not in folders]
    if left:
        logging.warning(
            "%d images of %s are left out, as they are not in %s: %s", len(left), images,
            " or ".join(f"{folder}/" for folder in folders), walk.some(left),
        )  # fmt: skip


def _with_boxes(splits, source, path, classes, ignored):
    """The examples with their boxes, from a folder of annotations or a text list with paths of images below images/."""
    names = {str(example.image): _below(example, source) for examples in splits.values() for example in examples}
    if path.is_dir():
        files_of = {name: [path / f"{name}{end}" for end in (".xml", ".json")] for name in names.values()}
        found = {
            name: annotation(json if json.is_file() else xml, ids(classes)) for name, (xml, json) in files_of.items()
        }
    elif path.is_file():
        by_id = {c.raw: i for i, c in enumerate(classes)} | {c.raw: IGNORE for c in ignored}
        found = listed(path, by_id, names.values())
    else:
        raise FileNotFoundError(f"Expected a folder of annotations or a text list of boxes. Received: no {path}.")
    return {
        s: [dataclasses.replace(e, boxes=found[names[str(e.image)]]) for e in chosen] for s, chosen in splits.items()
    }


def _below(example, source):
    """The path of an image without extension, relative to images/, or to the source if the image is not in images/."""
    image = Path(str(example.image))
    for folder in (source / "images", source):
        if image.is_relative_to(folder):
            return image.relative_to(folder).with_suffix("").as_posix()
    return example.id


def _has_pictures(folder):
    """Whether a folder or its sub-folders have a file that may be a mask."""
    return folder.is_dir() and any(map(walk.is_picture, walk.below(folder)))
