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
    weights            of the classes by `enet` and by `median_frequency`, as the loss takes them
    turned             ids of the images that EXIF turned
    """

    def __init__(self, num_classes: int):
        self._labels = np.zeros((3, num_classes), np.int64)
        self._ignored = 0
        self._colors = np.zeros((3, 256), np.int64)  # a histogram of each channel: exact, and mean and std come from it
        self._sizes = collections.Counter()
        self._turned = []

    def add(self, counted: tuple[np.ndarray, np.ndarray, str], turned: str = "") -> None:
        """Adds one example, as `count` has counted it; `turned` is its id where EXIF turned the image."""
        labels, colors, size = counted
        classes = labels[: self._labels.shape[1]]
        self._labels += (classes, classes > 0, (classes > 0) * classes.sum())
        self._ignored += int(labels[IGNORE])
        self._colors += colors
        self._sizes[size] += 1
        self._turned += [turned] if turned else []

    def merge(self, other: "Statistics") -> None:
        """Adds what another has counted."""
        self._labels += other._labels
        self._ignored += other._ignored
        self._colors += other._colors
        self._sizes += other._sizes
        self._turned += other._turned

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
            "sizes": dict(sorted(self._sizes.items(), key=lambda item: (-item[1], item[0]))),
            "weights": {name: rule(counts).tolist() for name, rule in CLASS_WEIGHTS.items()},
            "turned": sorted(self._turned),
        }


def enet(counts: dict) -> np.ndarray:
    """1 / ln(1.02 + p), p the class's share of all valid pixels (ENet, arXiv:1606.02147, section 5.2)."""
    pixels = np.asarray(counts["pixels"], float)
    return 1.0 / np.log(1.02 + pixels / max(pixels.sum(), 1))


def median_frequency(counts: dict) -> np.ndarray:
    """median(f) / f, f the class's share of the pixels of the images that contain it (Eigen and Fergus, 2015).

    A class that no image contains has no frequency: it weighs 0.
    """
    pixels, present = (np.asarray(counts[key], float) for key in ("pixels", "pixels_present"))
    seen = pixels > 0
    frequency = np.divide(pixels, present, out=np.ones_like(pixels), where=seen)
    return np.where(seen, np.median(frequency[seen]) / frequency, 0.0) if seen.any() else np.zeros_like(pixels)


CLASS_WEIGHTS = {"enet": enet, "median_frequency": median_frequency}


def count(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Counts one example (uint8 [H, W, 3] and [H, W]): of each label, of each value of each channel, and its size."""
    colors = np.stack([np.bincount(image[..., c].ravel(), minlength=256) for c in range(3)])
    return np.bincount(label.ravel(), minlength=256), colors, f"{label.shape[0]}x{label.shape[1]}"
