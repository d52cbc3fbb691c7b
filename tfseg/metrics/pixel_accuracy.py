"""Pixel accuracy."""

import numpy as np


def pixel_accuracy(confusion):
    """Share of the labelled pixels that are predicted right; 0..1, NaN where there is none.

    Args:
        confusion: int [classes, predicted classes].
    """
    total = confusion.sum()
    return np.trace(confusion) / total if total else np.nan
