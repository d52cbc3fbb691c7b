"""Cohen's kappa."""

import math

import numpy as np


def kappa(confusion):
    """(accuracy - chance) / (1 - chance), where chance is the accuracy of labels and predictions drawn independently.

    Cohen, Educational and Psychological Measurement 20, 1960. 1 is perfect, 0 is no better than chance, and below 0, down
    to -1, is worse than chance. NaN if there is no labelled pixel, or if labels and predictions all have one and the same
    class, since chance is then 1.

    Args:
        confusion: int [classes, predicted classes].
    """
    total = confusion.sum()
    if not total:
        return np.nan
    # Sums of counts are exact, so that the order in memory does not change the last bit. Products of counts would not fit into
    # int64 for 1e10 pixels.
    labels, predictions = confusion.sum(1) / total, confusion.sum(0)[: len(confusion)] / total
    chance = math.fsum(labels * predictions)
    return (np.trace(confusion) / total - chance) / (1 - chance) if chance < 1 else np.nan
