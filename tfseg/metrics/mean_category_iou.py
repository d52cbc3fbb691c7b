"""Mean intersection over union of the categories of classes."""

import numpy as np

from tfseg.metrics.category_iou import category_iou


def mean_category_iou(confusion, categories):
    """Mean of the categories' IoU over those in the labels or the predictions; 0..1, NaN where none is.

    Args:
        confusion: int [classes, predicted classes].
        categories: for each category the ids of its classes.
    """
    found = category_iou(confusion, categories)
    present = ~np.isnan(found)
    return found[present].mean() if present.any() else np.nan
