"""Optical flow between two frames, in both directions, and maps that are moved along it."""

from typing import NamedTuple

import cv2
import numpy as np

LEAST = 192  # pixels: frames whose shorter side is below are enlarged for the flow, whose patches have 8 pixels
APART = 100.0  # pixels: where both directions disagree by more, nothing arrives


class Flow(NamedTuple):
    """Where each pixel of a frame was in the one before."""

    places: np.ndarray  # float32 [height, width, 2]: columns to the right and rows down
    found: np.ndarray  # bool [height, width]: whether that is inside the picture


def between(before: np.ndarray, after: np.ndarray) -> Flow:
    """The flow of `after`, by DIS in both directions; RGB uint8 [height, width, 3] of one size.

    Where one direction alone leads out of the picture, `places` are those of the other.
    """
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)]
    height, width = gray[0].shape
    scale = max(1, -(-LEAST // min(height, width)))
    if scale > 1:
        size = (scale * width, scale * height)
        gray = [cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in gray]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    both = [dis.calc(*pair, None) for pair in (gray, gray[::-1])]
    if scale > 1:
        # In pixels of the frame, so that the vectors shrink as the map does.
        both = [cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / scale for flow in both]
    return averaged(*both)


def averaged(forward: np.ndarray, backward: np.ndarray) -> Flow:
    """Half the difference of the backward flow and of the forward flow where that leads, sampled bilinearly.

    Args:
        forward: float32 [height, width, 2], from each pixel of the frame before to its place in this one.
        backward: from each pixel of this frame to its place in the one before.
    """
    height, width = backward.shape[:2]
    rows, columns = np.indices((height, width))
    y, x = rows + backward[..., 1], columns + backward[..., 0]
    # As in the reference the last row and column are outside, because a bilinear sample there has no next pixel.
    found = inside(y, x)
    y, x = np.where(found, y, 0), np.where(found, x, 0)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    down, right = (y - top)[..., np.newaxis], (x - left)[..., np.newaxis]
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    upper = forward[top, left] * (1 - right) + forward[top, beside] * right
    lower = forward[below, left] * (1 - right) + forward[below, beside] * right
    sampled = upper * (1 - down) + lower * down
    found &= np.linalg.norm(sampled + backward, axis=-1) < APART
    places = np.where(found[..., np.newaxis], (backward - sampled) / 2, backward)
    found &= inside(rows + places[..., 1], columns + places[..., 0])
    return Flow(places.astype(np.float32), found)


def warp(values: np.ndarray, flow: Flow) -> np.ndarray:
    """A map [height, width, n] of the frame before, read at the pixel nearest to each one's place; 0 where nothing arrives."""
    rows, columns = np.indices(flow.found.shape)
    y = np.rint(rows + flow.places[..., 1].astype(np.float64)).astype(int)
    x = np.rint(columns + flow.places[..., 0].astype(np.float64)).astype(int)
    moved = np.zeros_like(values)
    moved[flow.found] = values[y[flow.found], x[flow.found]]
    return moved


def inside(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Whether places lie inside a picture of their own shape, its last row and column left out."""
    height, width = y.shape
    return (y >= 0) & (y < height - 1) & (x >= 0) & (x < width - 1)
