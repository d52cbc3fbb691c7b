"""Objects of masks that tell classes apart but not objects: each connected region of a class is one.

Objects of a class that touch are one region, and one that something divides is two. Regions that are too small are no objects.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from input_pipeline.source import files, formats, masks
from input_pipeline.source.annotations import Boxes
from input_pipeline.source.listing import Example, Part


@dataclasses.dataclass(frozen=True)
class Kind:
    """The objects of a class."""

    values: tuple[int, ...]  # of their pixels: raw ids, or codes of colours
    smallest: tuple[float, float]  # (height, width) that a region has at least, as shares of the height of the mask


def with_instances(example: Example, kinds: Mapping[int, Kind], colored: bool = False) -> Example:
    """The example with an instance for each object of the `kinds`, {train id: Kind}; `colored` if masks are in colours."""
    return dataclasses.replace(example, instances=_part(example.mask, "objects", _ids, kinds, colored))


def with_boxes(example: Example, kinds: Mapping[int, Kind], colored: bool = False) -> Example:
    """The example with the boxes around these objects only."""
    return dataclasses.replace(example, boxes=_part(example.mask, "boxes", _boxes, kinds, colored))


def find(values: np.ndarray, kinds: Mapping[int, Kind]) -> list[tuple[int, tuple[int, int, int, int], np.ndarray]]:
    """The regions of a mask: (train id, box x1, y1, x2, y2, bool [y2 - y1, x2 - x1]), class by class.

    Args:
        values: raw ids or codes of colours, [height, width].
        kinds: {train id: Kind}. Pixels that touch at a corner are connected.
    """
    found = []
    for train_id, kind in kinds.items():
        region = np.isin(values, kind.values).astype(np.uint8)
        _, numbers, rows, _ = cv2.connectedComponentsWithStats(region, connectivity=8)
        least = np.multiply(kind.smallest, len(values))
        for number, (left, top, width, height, _) in enumerate(rows.tolist()):
            if number and height >= least[0] and width >= least[1]:
                shown = numbers[top : top + height, left : left + width] == number
                found.append((train_id, (left, top, left + width, top + height), shown))
    return found


def _part(mask, what, read, kinds, colored):
    file, name = (mask.file, f"{what} of {mask.name}") if isinstance(mask, Part) else (mask, what)
    return Part(file, name, functools.partial(read, mask, dict(kinds), colored))


def _values(mask: Path | Part, colored):
    """The values of a mask as `find` takes them."""
    found = masks.look(mask.read() if isinstance(mask, Part) else formats.read(mask))
    if not colored:
        return found.values
    return files.color_code(found.values if found.palette is None else found.palette[found.values])


def _ids(mask, kinds, colored):
    values = _values(mask, colored)
    ids = np.zeros(values.shape, np.int32)
    for number, (_, (left, top, right, bottom), shown) in enumerate(find(values, kinds), 1):
        ids[top:bottom, left:right][shown] = number
    return ids


def _boxes(mask, kinds, colored):
    found = find(_values(mask, colored), kinds)
    return Boxes([box for _, box, _ in found], [train_id for train_id, _, _ in found])
