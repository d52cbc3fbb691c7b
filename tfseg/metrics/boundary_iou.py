"""Boundary IoU of each class."""

from collections.abc import Sequence

import cv2
import numpy as np

from tfseg.counts import Count
from tfseg.metrics import _boundary


def boundary_iou(classes: Sequence[str], *, width: float = 0.02) -> Count:
    """The IoU of the two rings along the boundaries of a class, in the label and in the prediction.

    Cheng et al., Boundary IoU, CVPR 2021 (arXiv:2103.16562), equation 2. The ring of a mask is its pixels within d rows and
    columns of its outside; what lies beyond the picture is outside. d is rounded and at least 1. Intersections and unions are
    summed over the images. A pixel without a label is outside the mask of the label, and is taken out of both rings after
    they are made.

    Args:
        classes: names of the data set's classes.
        width: d, in pixels, or as a share of the image's diagonal if it is below 1.

    Returns:
        A count with `mean_boundary_iou`, 0..1, over the classes that have a ring, and `boundary_iou` of each class, None for
        a class without one.
    """
    _boundary.check_width(width)

    def of_image(label, prediction, valid):
        d = max(1, round(_boundary.pixels(width, label.shape)))
        found = np.zeros([2, len(classes)], np.int64)
        for i in range(len(classes)):
            true, predicted = label == i, prediction == i
            if true.any() or predicted.any():
                true, predicted = ring(true, d) & valid, ring(predicted, d) & valid
                found[:, i] = np.count_nonzero(true & predicted), np.count_nonzero(true | predicted)
        return found

    def values(total):
        intersection, union = total
        iou = np.divide(intersection, union, out=np.full(len(classes), np.nan), where=union > 0)
        return _boundary.of_classes("boundary_iou", classes, iou)

    shape = (2, len(classes))
    return Count(np.zeros(shape, np.int64), lambda seen: _boundary.count(seen, of_image, shape), values)


def ring(mask: np.ndarray, d: int) -> np.ndarray:
    """The pixels of a mask, bool [height, width], within d rows and columns of its outside."""
    square = np.ones((2 * d + 1, 2 * d + 1), np.uint8)
    inner = cv2.erode(mask.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (inner == 0)
