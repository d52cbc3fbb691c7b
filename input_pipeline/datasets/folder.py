"""A folder of anybody's images and masks.

    classes.csv           id,name or id,name,r,g,b: one row a class, in the order of the train ids; a row named `ignore`
                          is the id (and colour) of pixels that count for nothing; 255 is ignored where no row has it
    images/**, masks/**   the same names, of any extension: images png jpg bmp webp tiff, masks png bmp tiff
    boxes/**              with `folder(boxes="boxes")`: NAME.xml of PASCAL VOC or NAME.json of Cityscapes, whose objects have
                          the classes' names; or `folder(boxes="boxes.txt")`, lines `name.jpg x1 y1 x2 y2 id ...`, the name
                          below images/, the ids those of classes.csv

A mask holds ids (palette, gray, 16-bit) or, where classes.csv has r,g,b, the classes' colours.

The splits are the first that there is of: the file of `folder(list="pairs.txt")`, held out as below; train.txt, val.txt
and test.txt; the folders images/train, images/val and images/test; a fifth of the images, chosen by name, as val. A
line of a list is the path of an image and that of its mask, below data_dir, with white space or a comma between, or the
one name that both share.
"""

import dataclasses
from pathlib import Path

import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import class_tables, files, listing
from input_pipeline.source.annotations import annotation, ids, listed
from input_pipeline.source.files import IGNORE

SPLITS = ("train", "val", "test")
VAL_FRACTION = 0.2


class Builder(builder.Builder):
    """Images and masks of one's own."""

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
    ):
        """`list` names the file of pairs; `val_fraction` of the images become val, another choice for every `seed`.

        `boxes` names the folder of annotations, or the text list, of boxes.
        """
        classes, ignored, by_color = class_tables.read(source / "classes.csv")
        lists = {split: source / f"{split}.txt" for split in SPLITS if (source / f"{split}.txt").is_file()}
        folders = [split for split in SPLITS if (source / "images" / split).is_dir()]
        if list or not (lists or folders):
            found = _listed(source, source / list) if list else listing.pairs(source / "images", source / "masks")
            splits = listing.held_out(found, VAL_FRACTION if val_fraction is None else val_fraction, seed)
        elif val_fraction is not None:
            raise ValueError(
                f"Expected no val_fraction where {source} names its splits: {', '.join(lists or folders)}. Received: "
                f"val_fraction={val_fraction}. Leave it out, or remove those lists or folders."
            )
        elif lists:
            splits = {split: _listed(source, path) for split, path in lists.items()}
        else:
            splits = {s: listing.pairs(source / "images" / s, source / "masks" / s) for s in SPLITS}
        if boxes:
            splits = _with_boxes(splits, source, source / boxes, classes, ignored)
        options = {"list": list, "val_fraction": val_fraction, "seed": seed, "boxes": boxes}
        super().__init__(
            source, cache, classes=classes, ignored=ignored, by_color=by_color, splits=splits, boxes=bool(boxes),
            options={k: v for k, v in options.items() if v not in (None, "")},
        )  # fmt: skip


def _with_boxes(splits, source, path, classes, ignored):
    """The examples with the boxes of a folder of annotations, or of a text list, by the path of each image below images/."""
    names, below = {}, source / "images"
    for image in (example.image for examples in splits.values() for example in examples):
        names[image] = image.relative_to(below if image.is_relative_to(below) else source).with_suffix("").as_posix()
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
    return {s: [dataclasses.replace(e, boxes=found[names[e.image]]) for e in chosen] for s, chosen in splits.items()}


def _listed(source: Path, path: Path) -> list[listing.Example]:
    """The pairs that a list names; a file that is missing is found when the pair is read."""
    if not path.is_file():
        raise FileNotFoundError(f"Expected a list of images and masks. Received: {path}, which is no file.")
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise ValueError(f"Expected lines `image mask` or `name`. Received: none in {path}.")
    images, masks = listing.stems(source / "images"), listing.stems(source / "masks")
    examples = []
    for line in lines:
        fields = [field.strip() for field in line.split(",")] if "," in line else line.split()
        if len(fields) > 2:
            raise ValueError(
                f"Expected `image mask` or `name`. Received: {line!r} in {path}. Put a comma between paths with spaces."
            )
        name = fields[0]
        stem = str(Path(name).with_suffix("")) if Path(name).suffix.lower() in files.IMAGES else name
        if len(fields) == 2:
            examples.append(listing.Example(stem, source / fields[0], source / fields[1]))
        else:
            image = images.get(stem, source / "images" / f"{stem}.png")
            examples.append(listing.Example(stem, image, masks.get(stem, source / "masks" / f"{stem}.png")))
    return examples
