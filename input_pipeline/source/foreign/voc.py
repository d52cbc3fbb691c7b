"""Reads PASCAL VOC's layout, which several tools export: SegmentationClass*/ (masks), JPEGImages/, ImageSets/ (lists)."""

import posixpath
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import numpy as np

from input_pipeline.source import files
from input_pipeline.source.foreign.export import Item, whole
from input_pipeline.source.foreign.tree import Tree, listed, split_in, split_of

MASKS = ("SegmentationClassPNG", "SegmentationClass")


def masks(tree: Tree) -> dict[str, str]:
    """{path below their folder without extension: file} of the masks in the first folder of MASKS that holds pictures."""
    for folder in MASKS:
        found = {}
        for name in tree.images:
            parts = PurePosixPath(name).parts
            if folder in parts[:-1]:
                below = PurePosixPath(*parts[parts.index(folder) + 1 :])
                found[str(below.with_suffix(""))] = name
        if found:
            return found
    return {}


def items(
    tree: Tree, read: Callable[[bytes], np.ndarray], known: Sequence[int]
) -> tuple[list[Item], list[str], list[str]]:
    """Returns the items, notes and faults of the masks and the lists. `read` decodes a mask to ids.

    Raises ValueError if there are masks but no images for them.
    """
    drawn, found, notes, faults, unlisted = masks(tree), [], [], [], []
    lists = {
        name: split_in(posixpath.basename(name))
        for name in tree.ending(".txt")
        if "Segmentation" in name.split("/")[:-1]
    }
    lists = {name: split for name, split in lists.items() if split} or {name: "" for name in lists}
    if lists:
        wanted = [(line.strip(), split) for name, split in lists.items() for line in tree.text(name).splitlines()]
        wanted = [(stem, split) for stem, split in dict.fromkeys(wanted) if stem]
        unlisted = sorted(drawn.keys() - {stem for stem, _ in wanted})
    else:
        wanted = [(stem, split_of(stem)) for stem in drawn]
    for stem, split in wanted:
        if stem in drawn:
            try:
                image = tree.image_of(stem)
            except (FileNotFoundError, ValueError) as error:
                faults.append(f"{drawn[stem]}: {error}")
                continue
            found.append(Item(drawn[stem], image, _reader(tree, drawn[stem], read, known), split=split))
    if not found:
        raise ValueError(
            f"Expected images beside the masks, in JPEGImages/. "
            f"Received: none of the {len(drawn)} masks in {tree.root} has one. "
            "Export with the images, or copy them there."
        )
    notes += listed("listed images have no mask and are left out", [stem for stem, _ in wanted if stem not in drawn])
    notes += listed("masks are in no list and are left out", unlisted)
    return found, notes, faults


def _reader(tree, name, read, known):
    return lambda size: whole(read(files.read(tree.root / name)), size, known)
