"""Area-weighted intersection over union of the categories of classes."""

import numpy as np

from tfseg.metrics.category_iou import category_iou


def area_weighted_category_iou(confusion, categories):
    """Mean of the categories' IoU weighted by their share of the labelled pixels; 0..1, NaN where there is none.

    Args:
        confusion: int [classes, predicted classes].
        categories: for each category the ids of its classes.
    """
    area = np.array([confusion[ids].sum() for ids in categories])
    present = area > 0
    return np.average(category_iou(confusion, categories)[present], weights=area[present]) if present.any() else np.nan
