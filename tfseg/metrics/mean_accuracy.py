"""Mean of the classes' accuracies."""

import numpy as np


def mean_accuracy(confusion):
    """Mean over the classes that are in the labels of the share of their pixels found (recall); 0..1, NaN for none.

    A class that is only predicted has no pixels to find and is left out, while its IoU is 0 and counts in `miou`.

    Args:
        confusion: int [classes, predicted classes].
    """
    pixels = confusion.sum(1)
    present = pixels > 0
    return (np.diagonal(confusion)[present] / pixels[present]).mean() if present.any() else np.nan
