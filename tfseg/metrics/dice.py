"""Dice coefficient of each class, which is its F1 score."""

import numpy as np


def dice(confusion):
    """2 TP / (2 TP + FP + FN) a class: the harmonic mean of precision and recall (Dice, Ecology 26, 1945).

    It is 2 IoU / (1 + IoU), so it ranks the results of a class as the IoU does.

    Args:
        confusion: int [classes, predicted classes].

    Returns:
        float [classes], 0..1; NaN for a class in neither the labels nor the predictions.
    """
    hits = np.diagonal(confusion)
    pixels = confusion.sum(1) + confusion.sum(0)[: len(hits)]
    return np.divide(2 * hits, pixels, out=np.full(len(hits), np.nan), where=pixels > 0)
