"""Crops of single objects: what the network sees, and how its answer goes back into the frame."""

from typing import NamedTuple

import cv2
import numpy as np

from input_pipeline import instances
from input_pipeline.pairs import FLOW_UNIT, FLOW_ZERO

MARGIN = 0.15  # of the box's height and width, on every side
SMALLEST = 8  # pixels of a box's side


class Box(NamedTuple):
    """Rows and columns from the first to before the last."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def place(self) -> tuple[slice, slice]:
        """The rows and columns, to index a map."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def around(mask: np.ndarray, margin: float = MARGIN) -> Box:
    """The box around the pixels of a mask, bool [height, width], enlarged on every side and cut at the edge of the picture.

    A box of fewer than SMALLEST pixels a side grows to them, where the picture has as many.
    """
    left, top, right, bottom = instances.around(mask)
    edges = []
    for first, last, length in ((top, bottom, mask.shape[0]), (left, right, mask.shape[1])):
        more = max(round(margin * (last - first)), -(-(SMALLEST - (last - first)) // 2))
        edges.append((max(0, first - more), min(length, last + more)))
    (top, bottom), (left, right) = edges
    return Box(top, left, bottom, right)


def cut(frame: np.ndarray, flow: np.ndarray, mask: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """The network's input of a box: float32 [*size, 6] as in models/mask_propagation.py.

    Args:
        frame: RGB uint8 [height, width, 3].
        flow: float [height, width, 2] in pixels of the frame; it becomes longer as the crop does.
        mask: 0..1, float [height, width].
        box: of the object.
        size: (height, width) of the crop.
    """
    frame, flow, mask = (
        cv2.resize(part[box.place].astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
        for part in (frame, flow, mask)
    )
    scale = size[1] / (box.right - box.left), size[0] / (box.bottom - box.top)
    return channels(frame, flow * np.array(scale, np.float32), mask)


def channels(frame: np.ndarray, flow: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The six channels of frame, flow in pixels and mask 0..1, all of one size."""
    return np.dstack([frame, FLOW_ZERO + FLOW_UNIT * flow, 255 * mask]).astype(np.float32)


def mirrored(crop: np.ndarray) -> np.ndarray:
    """A crop [height, width, 6] with left and right exchanged: what moved to the right now moves to the left."""
    turned = crop[:, ::-1].copy()
    turned[..., 3] = 2 * FLOW_ZERO - turned[..., 3]
    return turned


def pasted(answer: np.ndarray, box: Box, shape: tuple[int, int]) -> np.ndarray:
    """The answer for a box, float [crop's height, width], in a map of the frame's shape that is 0 elsewhere."""
    whole = np.zeros(shape, np.float32)
    size = box.right - box.left, box.bottom - box.top
    whole[box.place] = cv2.resize(answer.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return whole
