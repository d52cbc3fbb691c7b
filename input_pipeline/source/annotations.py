"""Reads boxes around objects from the files that annotate an image: PASCAL VOC, Cityscapes, text lists.

A box is x1, y1, x2, y2 in pixels of the image: its left, upper, right and lower edge, where 0, 0 is the upper left corner of
the image and width, height its lower right one. (PASCAL VOC counts pixels from 1. Its left and upper edges are
used as they are written, which is wrong by one pixel at most.) Its class is a train id.
"""

import dataclasses
import functools
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from input_pipeline.source import files, texts
from input_pipeline.source.class_tables import Class
from input_pipeline.source.listing import Example, Part, Zipped, some

SAME_SHAPE = 0.01  # largest difference of the scales of both axes, if boxes were drawn in an image of another size


@dataclasses.dataclass(frozen=True)
class Boxes:
    """Boxes [n, 4] and their classes [n] in an image of `size` (height, width); None for the image's own size."""

    boxes: Sequence
    classes: Sequence
    size: tuple[int, int] | None = None

    def within(self, size: tuple[int, int]) -> "Boxes":
        """The boxes and classes as arrays, scaled to the image of `size` that they belong to.

        Raises ValueError if they were drawn in an image with another aspect ratio, and for a box without an area.
        """
        height, width = self.size or size
        if abs(size[0] * width / (size[1] * height) - 1) > SAME_SHAPE:
            raise ValueError(
                f"Expected boxes in an image of the shape of theirs, {size[1]} x {size[0]} (width x height). "
                f"Received: boxes in {width} x {height}. Draw them in this image"
            )
        boxes = np.asarray(self.boxes, np.float64).reshape(-1, 4)
        wrong = boxes[~(boxes[:, 2:] > boxes[:, :2]).all(1) | ~np.isfinite(boxes).all(1)]
        if len(wrong):
            raise ValueError(f"Expected boxes x1 < x2, y1 < y2. Received: {wrong[0].tolist()}. Draw it again")
        return Boxes(boxes, np.asarray(self.classes, np.int32), (height, width))

    def record(self, size: tuple[int, int]) -> dict:
        """The boxes of a record whose image has `size`: they are cut at its edges, and boxes outside of it are left out."""
        limits = np.tile(size[::-1], 2)
        boxes = np.clip(self.boxes * (limits / np.tile(self.size[::-1], 2)), 0, limits).astype(np.float32)
        kept = (boxes[:, 2:] > boxes[:, :2]).all(1)
        return {"boxes": boxes[kept], "box_classes": self.classes[kept]}


def ids(classes: Sequence[Class], names: Sequence[str] | None = None) -> dict[str, int]:
    """{name in lower case: train id} of the classes, or of the classes in `names`."""
    return {c.name.lower(): i for i, c in enumerate(classes) if names is None or c.name in names}


def annotation(source: Path | Part, by_name: Mapping[str, int]) -> Part:
    """The boxes in an annotation, PASCAL VOC's .xml or Cityscapes' .json, except those whose name is not in `by_name`."""
    file = source.file if isinstance(source, Part) else source
    return Part(file, f"boxes of {source.name}", functools.partial(_read, source, dict(by_name)))


def beside(examples: Sequence[Example], folder: Path | Zipped, end: str, by_name: Mapping[str, int]) -> list[Example]:
    """The examples with the boxes of the annotations `<id><end>` in `folder`."""
    return [dataclasses.replace(e, boxes=annotation(folder / f"{e.id}{end}", by_name)) for e in examples]


def listed(path: Path, by_id: Mapping[int, int], names: Sequence[str]) -> dict[str, Part]:
    """The boxes in a text list for each image in `names` (without extension); an image that is not in the list has none.

    A line is `name.jpg x1 y1 x2 y2 c x1 y1 x2 y2 c ...`; `by_id` gives the train ids of the ids c.
    """
    found = {}
    lines, known = texts.lines(path), set(names)
    for number, (name, *values) in ((i, _fields(line, known)) for i, line in enumerate(lines, 1) if line):
        try:
            rows = np.array(values, np.float64).reshape(-1, 5)
            classes = np.array([by_id[int(c)] for c in rows[:, 4]], int)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"Expected `name x1 y1 x2 y2 id ...` with ids {', '.join(map(str, sorted(by_id)))}. "
                f"Received: {lines[number - 1]!r} ({path}, line {number})."
            ) from error
        stem = _stem(name)
        kept = classes != files.IGNORE
        found[stem] = Part(path, f"line {number}", functools.partial(Boxes, rows[kept, :4], classes[kept]))
    alone = sorted(found.keys() - known)
    if alone:
        logging.warning("%d names of %s have no image and are left out: %s", len(alone), path, some(alone))
    nothing = Part(path, "no line", functools.partial(Boxes, (), ()))
    return {name: found.get(name, nothing) for name in names}


def _stem(name):
    """A name without the extension of a picture."""
    return str(Path(name).with_suffix("")) if Path(name).suffix.lower() in files.IMAGES else name


def _fields(line, known):
    """The words of a line. The first one is the name; it may contain blanks if there is an image of that name."""
    words = line.split()
    names = (" ".join(words[:i]) for i in range(len(words), 0, -5))  # the rest are boxes, of five numbers each
    name = next((name for name in names if _stem(name) in known), words[0])
    return [name, *words[len(name.split()) :]]


def _read(source, by_name):
    """Reads an annotation."""
    data, file = source.read() if isinstance(source, Part) else files.read(source), str(source)
    try:
        return _xml(data, by_name) if source.name.endswith(".xml") else _polygons(texts.decode(data, file), by_name)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f"Expected the boxes of PASCAL VOC (.xml) or the polygons of Cityscapes (.json). Received: {error!r}. "
            "Export them again"
        ) from error


def _xml(data, by_name):
    root = ElementTree.fromstring(data)  # skips a byte order mark
    rows = [(o.findtext("name").strip().lower(), o.find("bndbox")) for o in root.iter("object")]
    rows = [(name, box) for name, box in rows if name in by_name]
    boxes = [[float(box.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")] for _, box in rows]
    size = tuple(int(root.findtext(f"size/{key}", "0")) for key in ("height", "width"))
    return Boxes(boxes, [by_name[name] for name, _ in rows], size if all(size) else None)  # some programs write 0


def _polygons(data, by_name):
    """The boxes around Cityscapes' polygons. Groups such as `cargroup` have other names, and are left out."""
    root = json.loads(data)
    rows = [o for o in root["objects"] if not o.get("deleted") and o["label"].lower() in by_name]
    corners = [np.asarray(o["polygon"], np.float64).reshape(-1, 2) for o in rows]
    boxes = [[*points.min(0), *points.max(0)] for points in corners]
    return Boxes(boxes, [by_name[o["label"].lower()] for o in rows], (root["imgHeight"], root["imgWidth"]))
