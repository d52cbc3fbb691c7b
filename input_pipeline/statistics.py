"""Statistics of a split, counted in exact integers while its records are written."""

import collections

import numpy as np

from input_pipeline.files import IGNORE


class Statistics:
    """Counts of labels and moments of pixels over the examples added.

    pixels[c]          pixels of class c
    images[c]          images that hold class c
    pixels_present[c]  labelled pixels of the images that hold class c: the denominator of median-frequency weights
    ignored            pixels of no class
    mean, std          of each channel, RGB 0..255, over all pixels of all images
    sizes              {"HxW": images}
    """

    def __init__(self, num_classes: int):
        self._labels = np.zeros((3, num_classes), np.int64)
        self._ignored = 0
        self._colors = np.zeros((3, 256), np.int64)  # a histogram of each channel: exact, and mean and std come from it
        self._sizes = collections.Counter()

    def add(self, counted: tuple[np.ndarray, np.ndarray, str]) -> None:
        """Adds one example, as `count` has counted it."""
        labels, colors, size = counted
        classes = labels[: self._labels.shape[1]]
        self._labels += (classes, classes > 0, (classes > 0) * classes.sum())
        self._ignored += int(labels[IGNORE])
        self._colors += colors
        self._sizes[size] += 1

    def result(self) -> dict:
        """Returns the statistics as JSON holds them."""
        values, total = np.arange(256), self._colors[0].sum()
        mean = self._colors @ values / total
        std = np.sqrt(np.maximum(self._colors @ values**2 / total - mean**2, 0))
        counts = dict(zip(("pixels", "images", "pixels_present"), self._labels.tolist(), strict=True))
        return {
            **counts,
            "ignored": self._ignored,
            "mean": mean.tolist(),
            "std": std.tolist(),
            "sizes": dict(self._sizes.most_common()),
        }


def count(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Counts one example (uint8 [H, W, 3] and [H, W]): of each label, of each value of each channel, and its size."""
    colors = np.stack([np.bincount(image[..., c].ravel(), minlength=256) for c in range(3)])
    return np.bincount(label.ravel(), minlength=256), colors, f"{label.shape[0]}x{label.shape[1]}"
