"""Weights of the classes in the loss, computed from the pixel counts of the prepared data."""

import pathlib

import numpy as np
from absl import logging

import input_pipeline

RULES = {"none": lambda statistics: None, **input_pipeline.CLASS_WEIGHTS}


def unknown(rule: str) -> str:
    """The message for a rule that is neither known nor a file."""
    return f"Expected --class_weights={'|'.join(RULES)} or an existing file. Received: {rule!r}."


def build(rule: str, statistics: dict, num_classes: int) -> list[float] | None:
    """Weights of the network's classes, or None for equal ones.

    Args:
        rule: `none`, `enet`, `median_frequency`, or the path of a text file with one weight in each line.
        statistics: of the train split (`Prepared.statistics["train"]`).
        num_classes: classes of the network; those that the data set does not have never occur and get the weight 0.
    """
    known = len(statistics["pixels"])
    if rule in RULES:
        weights = RULES[rule](statistics)
    elif pathlib.Path(rule).is_file():
        weights = np.loadtxt(rule, ndmin=1)
    else:
        raise ValueError(unknown(rule))
    if weights is None:
        return None
    if len(weights) not in (known, num_classes) or not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise ValueError(f"Expected {known} weights of 0 or more. Received: {weights.tolist()} from {rule!r}.")
    unseen = [i for i, pixels in enumerate(statistics["pixels"]) if not pixels]
    if unseen:
        logging.warning("Classes %s do not occur in the train split; the network cannot learn them.", unseen)
    return [*map(float, weights), *[0.0] * (num_classes - len(weights))]
