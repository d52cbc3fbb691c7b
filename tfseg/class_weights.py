"""Weights of the classes in the loss, from the pixel counts that preparation keeps."""

import pathlib

import numpy as np
from absl import logging


def none(statistics: dict) -> None:
    """Every class weighs the same."""
    return None


def enet(statistics: dict) -> np.ndarray:
    """1 / ln(1.02 + p), p the class's share of all valid pixels (ENet, arXiv:1606.02147, section 5.2)."""
    pixels = np.asarray(statistics["pixels"], float)
    return 1.0 / np.log(1.02 + pixels / pixels.sum())


def median_frequency(statistics: dict) -> np.ndarray:
    """median(f) / f, f the class's share of the pixels of the images that contain it (Eigen and Fergus, 2015).

    A class that no training image contains has no frequency: it weighs 0.
    """
    pixels, present = (np.asarray(statistics[key], float) for key in ("pixels", "pixels_present"))
    seen = pixels > 0
    frequency = np.divide(pixels, present, out=np.ones_like(pixels), where=seen)
    return np.where(seen, np.median(frequency[seen]) / frequency, 0.0)


RULES = {"none": none, "enet": enet, "median_frequency": median_frequency}


def build(rule: str, statistics: dict, num_classes: int) -> list[float] | None:
    """Weights of the network's classes, or None for equal ones.

    Args:
        rule: `none`, `enet`, `median_frequency`, or the path of a text file with one weight a line.
        statistics: of the train split (`Prepared.statistics["train"]`).
        num_classes: classes of the network; those beyond the data set's never occur and weigh 0.
    """
    known = len(statistics["pixels"])
    if rule in RULES:
        weights = RULES[rule](statistics)
    elif pathlib.Path(rule).is_file():
        weights = np.loadtxt(rule, ndmin=1)
    else:
        raise ValueError(f"Expected --class_weights={'|'.join(RULES)} or an existing file. Received: {rule!r}.")
    if weights is None:
        return None
    if len(weights) not in (known, num_classes) or not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise ValueError(f"Expected {known} weights of 0 or more. Received: {weights.tolist()} from {rule!r}.")
    unseen = [i for i, pixels in enumerate(statistics["pixels"]) if not pixels]
    if unseen:
        logging.warning("Classes %s do not occur in the train split; the network cannot learn them.", unseen)
    return [*map(float, weights), *[0.0] * (num_classes - len(weights))]
