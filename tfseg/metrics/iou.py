"""Intersection over union of each class."""

import numpy as np


def iou(confusion):
    """TP / (TP + FP + FN) a class, as PASCAL VOC scores segmentation (Everingham et al., IJCV 2010).

    Args:
        confusion: int [classes, predicted classes].

    Returns:
        float [classes], 0..1; NaN for a class in neither the labels nor the predictions.
    """
    hits = np.diagonal(confusion)
    union = confusion.sum(1) + confusion.sum(0)[: len(hits)] - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)
