"""Intersection over union of each category of classes."""

import numpy as np


def category_iou(confusion, categories):
    """TP / (TP + FP + FN) a category, a group of classes: a class taken for another one of its category is right.

    The Cityscapes benchmark's category IoU (Cordts et al., CVPR 2016), which weighs every pixel the same; its iIoU, which
    weighs instances by their area, needs instances.

    Args:
        confusion: int [classes, predicted classes].
        categories: for each category the ids of its classes.

    Returns:
        float [categories], 0..1; NaN for a category in neither the labels nor the predictions.
    """
    found = []
    for ids in categories:
        hits = confusion[np.ix_(ids, ids)].sum()
        union = confusion[ids].sum() + confusion[:, ids].sum() - hits
        found.append(hits / union if union else np.nan)
    return np.array(found)
