"""Recall of each class."""

import numpy as np


def recall(confusion):
    """TP / (TP + FN) a class: the share of its labelled pixels that are found. `mean_accuracy` is the mean of these.

    Args:
        confusion: int [classes, predicted classes].

    Returns:
        float [classes], 0..1; NaN for a class that is not in the labels.
    """
    hits, pixels = np.diagonal(confusion), confusion.sum(1)
    return np.divide(hits, pixels, out=np.full(len(hits), np.nan), where=pixels > 0)
