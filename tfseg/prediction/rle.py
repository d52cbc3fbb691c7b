"""COCO's run lengths of the connected parts of a label map.

Source: the format of pycocotools' maskApi.c. Runs go down the columns, and the first one is outside the object. A number is
written as characters of 5 bits; from the fourth on it is the difference to the run before the last one.
"""

import cv2
import numpy as np


def segments(label: np.ndarray, min_area: int = 1) -> list[dict]:
    """The connected parts, by 8 neighbours, of each id.

    Args:
        label: integer [height, width].
        min_area: parts of fewer pixels are left out.

    Returns:
        {"id", "segmentation": {"size": [height, width], "counts": text}, "area": pixels, "bbox": [left, top, width, height]}
        of each, by id.
    """
    found = []
    for i in np.unique(label).tolist():
        _, parts, stats, _ = cv2.connectedComponentsWithStats((label == i).astype(np.uint8), connectivity=8)
        for part, (left, top, width, height, area) in enumerate(stats.tolist()):
            if part == 0 or area < min_area:  # part 0 is what is outside of all parts
                continue
            inside = parts[top : top + height, left : left + width] == part
            runs = run_lengths(inside, label.shape, left, top)
            found.append(
                {
                    "id": i,
                    "segmentation": {"size": list(label.shape), "counts": packed(runs)},
                    "area": area,
                    "bbox": [left, top, width, height],
                }
            )
    return found


def run_lengths(inside: np.ndarray, size: tuple[int, int], left: int = 0, top: int = 0) -> list[int]:
    """The run lengths of a mask, bool [h, w], that lies at (left, top) in an image of `size`, (height, width)."""
    edges = np.diff(np.pad(inside, ((1, 1), (0, 0))).astype(np.int8), axis=0).T  # [w, h + 1]: 1 begins, -1 ends a run
    places = (np.arange(inside.shape[1]) + left)[:, None] * size[0] + np.arange(inside.shape[0] + 1) + top
    begins, ends = places[edges == 1], places[edges == -1]
    apart = begins[1:] != ends[:-1]  # a run that reaches the bottom goes on at the top of the next column
    begins, ends = begins[np.r_[True, apart][: len(begins)]], ends[np.r_[apart, True][: len(ends)]]
    borders = np.stack([begins, ends], 1).ravel()
    runs = np.diff(borders, prepend=0, append=size[0] * size[1]).tolist()
    return runs[:-1] if len(runs) > 1 and not runs[-1] else runs


def packed(runs: list[int]) -> str:
    """The compressed text of run lengths."""
    text = []
    for i, run in enumerate(runs):
        value, more = run - runs[i - 2] if i > 2 else run, True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text.append(chr((bits | 32 if more else bits) + 48))
    return "".join(text)
