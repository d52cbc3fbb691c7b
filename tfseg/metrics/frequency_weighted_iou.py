"""Frequency-weighted intersection over union."""

import numpy as np

from tfseg.metrics.iou import iou


def frequency_weighted_iou(confusion):
    """Mean of the classes' IoU weighted by their share of the labelled pixels; 0..1, NaN where there is none.

    As the FCN paper reports it (Long et al., arXiv:1411.4038, section 5).

    Args:
        confusion: int [classes, predicted classes].
    """
    pixels = confusion.sum(1)
    present = pixels > 0
    return np.average(iou(confusion)[present], weights=pixels[present]) if present.any() else np.nan
