"""Turns polygons, run lengths and bitmaps into regions of pixels, and paints regions into a mask.

Coordinates are pixels: x, y from the image's upper left corner, where the pixel in column c and row r covers c..c+1, r..r+1.
"""

import collections
import dataclasses
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from input_pipeline.source.foreign.export import Drawn

NOTHING = "shapes that cover no pixel of the image"


@dataclasses.dataclass(frozen=True)
class Region:
    """The pixels where `inside`, bool [height, width], is true. Its upper left corner is pixel x, y of the image."""

    inside: np.ndarray
    id: int
    x: int = 0
    y: int = 0


def paint(regions: Iterable[Region], size: tuple[int, int], background: int, larger_first: bool = False) -> Drawn:
    """Paints regions over each other: later ones cover earlier ones, or with `larger_first` smaller ones cover larger ones."""
    regions = list(regions)
    if larger_first:
        regions.sort(key=lambda region: -np.count_nonzero(region.inside))
    ids, dropped = np.full(size, background, np.uint8), collections.Counter()
    for region in regions:
        top, left = max(region.y, 0), max(region.x, 0)
        target = ids[top : max(region.y + region.inside.shape[0], 0), left : max(region.x + region.inside.shape[1], 0)]
        inside = region.inside[top - region.y :, left - region.x :][: target.shape[0], : target.shape[1]]
        if not inside.any():
            dropped[NOTHING] += 1
        target[inside] = region.id
    return Drawn(ids, dropped)


def region(inside: np.ndarray, class_id: int) -> Region:
    """The region of a mask, bool [height, width]. The empty margin is cut off, so that many regions fit in memory."""
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    if not len(rows):
        return Region(inside[:0, :0], class_id)
    (top, bottom), (left, right) = rows[[0, -1]], columns[[0, -1]]
    return Region(inside[top : bottom + 1, left : right + 1].copy(), class_id, int(left), int(top))


def corners(points: Sequence, least: int, what: str) -> np.ndarray:
    """Points (pairs, or a flat list x, y, x, y, ...) as float64 [n, 2].

    Raises ValueError, which names `what`, if there are fewer than `least` points or some values are not numbers.
    """
    try:
        found = np.array(points, np.float64) if len(points) else np.zeros((0, 2))
        found = found.reshape(-1, 2) if found.ndim == 1 else found
        if found.ndim != 2 or found.shape[1] != 2:
            raise ValueError
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what}: expected points x, y. Received: {str(points)[:80]}. Draw it again") from error
    if len(found) < least:
        raise ValueError(f"{what} has {len(found)} points. Expected {least} or more. Draw it again, or remove it")
    if not np.isfinite(found).all():
        raise ValueError(f"{what} has a point that is not finite. Draw it again, or remove it")
    return found


def polygons(outlines: Sequence[np.ndarray], size: tuple[int, int], class_id: int, union: bool = False) -> Region:
    """The pixels whose centres lie inside the outlines [n, 2], by the even-odd rule, or with `union` inside any of them.

    The result agrees with pycocotools, which samples 5 times as finely, except for single pixels at edges.
    """
    every = np.concatenate(outlines)
    low = np.clip(np.floor(every.min(0)), 0, size[::-1]).astype(int)
    high = np.clip(np.ceil(every.max(0)), low, size[::-1]).astype(int)
    (x, y), (width, height) = low, high - low
    parts = [[outline] for outline in outlines] if union else [outlines]
    inside = np.zeros((height, width), bool)
    for part in parts:
        crossed = np.zeros((height, width + 1), bool)
        for outline in part:
            for (x0, y0), (x1, y1) in zip(outline - low, np.roll(outline - low, -1, 0), strict=True):
                first, last = np.clip(np.ceil(np.sort([y0, y1]) - 0.5), 0, height).astype(int)
                rows = np.arange(first, last)
                if len(rows):
                    at = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                    crossed[rows, np.clip(np.ceil(at - 0.5), 0, width).astype(int)] ^= True
        inside |= np.logical_xor.accumulate(crossed[:, :width], axis=1)
    return Region(inside, class_id, int(x), int(y))


def run_lengths(rle: dict, size: tuple[int, int], class_id: int) -> Region:
    """The region of COCO's run lengths, `{"size": [height, width], "counts": ...}`, as numbers or compressed text.

    Runs go down the columns, and the first one is outside the object. Raises ValueError if they do not fit the image.
    """
    counts = rle.get("counts")
    if list(rle.get("size", ())) != list(size):
        raise ValueError(
            f"Expected run lengths of an image of {size[0]} x {size[1]} (height x width). Received: {rle.get('size')}. "
            "Export them again"
        )
    if isinstance(counts, (str, bytes)):
        counts = _unpacked(counts.encode() if isinstance(counts, str) else counts)
    runs = np.asarray(counts)
    if runs.ndim != 1 or runs.dtype.kind not in "iu" or (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise ValueError(
            f"Expected run lengths that sum up to {size[0] * size[1]} pixels. Received: {str(counts)[:60]}. Export them again"
        )
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return region(inside.reshape(size[::-1]).T, class_id)


def _unpacked(text):
    """The run lengths of COCO's compressed text.

    Each character, minus 48, holds 5 bits of a number, the lowest ones first; a sixth bit says that more follow. Numbers
    are signed. From the fourth on, each is the difference to the run before the last one. We do not use pycocotools
    (2.0.11): if the text is cut, its decode returns memory that was never written, so that the mask is noise.
    """
    runs, value, shift = [], 0, 0
    for character in text:
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError(
                f"Expected compressed run lengths. Received: the character {chr(character)!r}. Export them again"
            )
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4) if bits & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    if shift:
        raise ValueError("Expected whole compressed run lengths. Received: they are cut. Export them again")
    return runs


def bitmap(data: bytes) -> np.ndarray:
    """The pixels, bool [height, width], that are set in a picture: alpha is not 0, or without alpha the value is not 0."""
    with Image.open(io.BytesIO(data)) as image:
        if "transparency" in image.info or "A" in image.getbands():
            return np.asarray(image.convert("RGBA"))[..., 3] > 0
        pixels = np.asarray(image.convert("L") if image.mode == "P" else image)
    return pixels.any(-1) if pixels.ndim == 3 else pixels > 0
