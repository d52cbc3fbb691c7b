"""YOLO's segmentation labels (Ultralytics): labels/**.txt beside images/**, lines `class x1 y1 x2 y2 ...` in 0..1.

The names come from data.yaml or from the lines of classes.txt. A smaller object covers a larger one. An image without a
label file has no objects.
"""

import collections
import json
import posixpath
import re

import numpy as np

from input_pipeline.source.foreign.export import Export, Item, table
from input_pipeline.source.foreign.shapes import corners, paint, polygons
from input_pipeline.source.foreign.tree import Tree, listed, split_of

TITLE = "YOLO segmentation labels"
_TABLES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt")
_LOOKED_AT = 20  # label files that are opened to recognise the format


def recognises(tree: Tree) -> bool:
    """Whether there are labels with polygons."""
    return any(count >= 7 for count in _counts(tree)) and not _has_key_points(tree)


def lines_of_boxes(tree: Tree) -> bool:
    """Whether there are labels, but only with boxes or key points."""
    counts = _counts(tree)
    return bool(counts) and (set(counts) == {5} or _has_key_points(tree))


def read(tree: Tree) -> Export:
    """Reads the names. Labels are read when they are drawn."""
    names = _names(tree, tree.called(*_TABLES)[0])
    found = table([(name, None, None) for name in names])
    items, empty = [], []
    for image in tree.images:
        label = posixpath.splitext("/".join("labels" if p == "images" else p for p in image.split("/")))[0] + ".txt"
        if label in tree.there:
            items.append(Item(label, image, _drawer(tree, label, names, found), split=split_of(image)))
        elif "images" in image.split("/"):
            empty.append(image)
            items.append(Item(image, image, lambda size: paint((), size, found.background), split=split_of(image)))
    notes = listed("images have no labels: all of them is background", empty)
    alone = sorted(set(_labels(tree)) - {item.annotation for item in items})
    return Export(TITLE, found.classes, items, found.notes + notes + listed("label files have no image", alone), [])


def _labels(tree):
    return [name for name in tree.ending(".txt") if "labels" in name.split("/")[:-1]]


def _has_key_points(tree):
    return "kpt_shape" in tree.text(tree.called(*_TABLES)[0])


def _counts(tree):
    """How many numbers the lines of some label files have; [] if they are no labels, or there are no class names."""
    counts = []
    for name in _labels(tree)[:_LOOKED_AT] if tree.called(*_TABLES) else ():
        for line in tree.text(name).splitlines():
            if not re.fullmatch(r"\s*\d+(\s+[-+.\deE]+)+\s*", line):
                return []
            counts.append(len(line.split()))
    return counts


def _names(tree, name):
    """The names of the classes in the order of their ids. Reads the few forms of YAML in which tools write them."""
    text = tree.text(name)
    if name.endswith(".txt"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    held = re.search(r"^names\s*:[ \t]*(.*(?:\n(?:[ \t]+|-).*)*)", text, re.MULTILINE)
    body = "\n".join(line.split(" #")[0] for line in held.group(1).splitlines()) if held else ""
    if body.lstrip().startswith("["):
        found = [word.strip() for word in body.strip().strip("[]").split(",")]
    elif re.search(r"^\s*-", body, re.MULTILINE):
        found = re.findall(r"^\s*-\s*(.+?)\s*$", body, re.MULTILINE)
    else:
        rows = re.findall(r"(\d+)\s*:\s*(.+?)\s*(?:[,}\n]|$)", body)
        found = [label for _, label in sorted(rows, key=lambda row: int(row[0]))]
        if [int(i) for i, _ in rows] and sorted(int(i) for i, _ in rows) != list(range(len(rows))):
            raise ValueError(f"Expected names with ids 0, 1, 2, ... Received: {tree.root / name} with gaps.")
    found = [json.loads(word) if word.startswith('"') else word.strip("'") for word in found if word]
    if not found:
        raise ValueError(f"Expected `names` of the classes. Received: {tree.root / name} without them.")
    return found


def _drawer(tree, name, names, found):
    def draw(size):
        regions, dropped = [], collections.Counter()
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            words = line.split()
            if not words:
                continue
            if len(words) == 5:
                dropped["lines that are boxes"] += 1
                continue
            try:
                index, values = int(words[0]), np.array(words[1:], np.float64)
                label = names[index]
            except (IndexError, ValueError) as error:
                raise ValueError(
                    f"line {number}: Expected `class x1 y1 ...`, class below {len(names)}. Received: {line[:60]!r}"
                ) from error
            if len(values) % 2:
                raise ValueError(f"line {number}: Expected x and y of each point. Received: {len(values)} numbers")
            points = corners(values * np.tile(size[::-1], len(values) // 2), 3, f"line {number}: polygon")
            regions.append(polygons([points], size, found.ids[label]))
        drawn = paint(regions, size, found.background, larger_first=True)
        drawn.dropped.update(dropped)
        return drawn

    return draw
