"""Probabilities of single objects become one map, in which each pixel has one owner."""

import numpy as np


def fuse(objects: np.ndarray) -> np.ndarray:
    """Background and objects, float [height, width, 1 + n], of the objects' own probabilities [height, width, n].

    The background has the product of all 1 - p, an object its p; then they are divided by their sum. It is no softmax.
    """
    background = np.prod(1 - objects, -1, keepdims=True)
    both = np.concatenate([background, objects], -1)
    return both / both.sum(-1, keepdims=True)


def settled(moved: np.ndarray) -> np.ndarray:
    """A warped map in which the pixels where nothing arrived, whose sum is 0, are background."""
    whole = moved.copy()
    whole[..., 0] = np.where(moved.sum(-1) == 0, 1, moved[..., 0])
    return whole


def owners(fused: np.ndarray) -> np.ndarray:
    """Who has each pixel, int [height, width]: 0 the background, k the k-th object. The largest wins, whatever its value."""
    return fused.argmax(-1)
