"""Roboflow's "Semantic Segmentation Masks": for each split a folder with _classes.csv, images, and NAME_mask.png for each.

_classes.csv has the header `Pixel Value, Class`; the masks are gray. Its background is a class like the others.
"""

import csv
import posixpath

from input_pipeline.source import files
from input_pipeline.source.foreign.export import Export, Item, mask_ids, table, whole
from input_pipeline.source.foreign.tree import Tree, listed, split_of

TITLE = "a Roboflow semantic segmentation export"
_END = "_mask"


def recognises(tree: Tree) -> bool:
    """Whether there is a _classes.csv of ids (in exports for classification it has one column for each class)."""
    return any("pixel value" in tree.text(name)[:100].lower() for name in tree.called("_classes.csv"))


def read(tree: Tree) -> Export:
    """Reads the tables, which must agree, and pairs images and masks."""
    tables = {name: _rows(tree, name) for name in tree.called("_classes.csv")}
    first, rows = next(iter(tables.items()))
    for name, other in tables.items():
        if other != rows:
            raise ValueError(f"Expected the same classes in every split. Received: {first} and {name}, which differ.")
    found = table([(label, None, i) for i, label in rows.items()], background=False)
    items, alone, images = [], [], {}
    folders = {posixpath.dirname(name) for name in tables}
    below = [name for name in tree.images if any(name.startswith(f"{folder}/" if folder else "") for folder in folders)]
    for name in below:
        images.setdefault(posixpath.splitext(name)[0], []).append(name)
    used = set()
    for mask in (name for name in below if posixpath.splitext(name)[0].endswith(_END)):
        pair = images.get(posixpath.splitext(mask)[0].removesuffix(_END), ())
        if len(pair) != 1:
            alone.append(mask)
            continue
        used |= {mask, pair[0]}
        items.append(Item(mask, pair[0], _reader(tree, mask, list(rows)), split=split_of(mask)))
    notes = listed("masks have no image of their name, or several, and are left out", alone)
    notes += listed("images have no mask and are left out", [n for n in below if n not in used and n not in alone])
    return Export(TITLE, found.classes, items, found.notes + notes, [])


def _rows(tree, name):
    """{id: class} of a table."""
    lines = csv.reader(tree.text(name).splitlines(), skipinitialspace=True)
    try:
        rows = [(int(value), label.strip()) for value, label, *_ in list(lines)[1:]]
        if len(dict(rows)) < len(rows) or not all(0 <= i < files.IGNORE for i, _ in rows):
            raise ValueError
    except ValueError as error:
        raise ValueError(
            f"Expected the header `Pixel Value, Class` and rows with a unique id 0..254 and a name. "
            f"Received: {tree.root / name}, which has others."
        ) from error
    return dict(rows)


def _reader(tree, name, known):
    return lambda size: whole(mask_ids(files.read(tree.root / name)), size, known)
