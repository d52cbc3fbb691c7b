"""Precision of each class."""

import numpy as np


def precision(confusion):
    """TP / (TP + FP) a class: the share of the pixels predicted as the class that have its label.

    Args:
        confusion: int [classes, predicted classes].

    Returns:
        float [classes], 0..1; NaN for a class that is never predicted on a labelled pixel.
    """
    hits = np.diagonal(confusion)
    predicted = confusion.sum(0)[: len(hits)]
    return np.divide(hits, predicted, out=np.full(len(hits), np.nan), where=predicted > 0)
