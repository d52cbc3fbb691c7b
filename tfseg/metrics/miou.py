"""Mean intersection over union."""

import numpy as np

from tfseg.metrics.iou import iou


def miou(confusion):
    """Mean of the classes' IoU over those that are in the labels or in the predictions; 0..1, NaN where none is.

    Args:
        confusion: int [classes, predicted classes].
    """
    values = iou(confusion)
    present = ~np.isnan(values)
    return values[present].mean() if present.any() else np.nan
