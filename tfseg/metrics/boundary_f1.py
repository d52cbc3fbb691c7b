"""F1 score of each class's boundary."""

from collections.abc import Sequence

import numpy as np
from scipy import spatial

from tfseg.counts import Count
from tfseg.metrics import _boundary


def boundary_f1(classes: Sequence[str], *, width: float = 0.0075) -> Count:
    """2 PR / (P + R) of the edge pixels of a class that lie near an edge pixel of the other map.

    Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013. An edge pixel of a class has a
    4-neighbour of another class, and both have a label; the border of the picture makes no edge. P is the share of the
    predicted edge within the Euclidean distance `width` of the label's edge, R the reverse. The four counts are summed over
    the images; the mean of the images' scores, which others report, is another number. So is one with a one-to-one matching
    of the edge pixels, which is a little lower.

    Args:
        classes: names of the data set's classes.
        width: in pixels, or as a share of the image's diagonal if it is below 1; SegNet's authors use 0.0075.

    Returns:
        A count with `mean_boundary_f1`, 0..1, over the classes with an edge in the labels or predictions, and `boundary_f1`
        of each class: None for a class without edges, 0 where only one map has any.
    """
    _boundary.check_width(width)

    def of_image(label, prediction, valid):
        tolerance = _boundary.pixels(width, label.shape)
        found = np.zeros([4, len(classes)], np.int64)
        for i in range(len(classes)):
            true, predicted = edges(label == i, valid), edges(prediction == i, valid)
            found[:, i] = (
                *(np.count_nonzero(predicted), near(predicted, true, tolerance)),
                *(np.count_nonzero(true), near(true, predicted, tolerance)),
            )
        return found

    def values(total):
        predicted, predicted_near, true, true_near = np.asarray(total, np.float64)
        absent, alone = np.full(len(classes), np.nan), np.zeros(len(classes))
        precision = np.divide(predicted_near, predicted, out=alone.copy(), where=predicted > 0)
        recall = np.divide(true_near, true, out=alone.copy(), where=true > 0)
        both = precision + recall
        f1 = np.divide(2 * precision * recall, both, out=alone, where=both > 0)
        return _boundary.of_classes("boundary_f1", classes, np.where(predicted + true > 0, f1, absent))

    shape = (4, len(classes))
    return Count(np.zeros(shape, np.int64), lambda seen: _boundary.count(seen, of_image, shape), values)


def edges(mask: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The valid pixels of a mask with a valid 4-neighbour outside it; all bool [height, width]."""
    outside, found = valid & ~mask, np.zeros_like(mask)
    found[1:] |= outside[:-1]
    found[:-1] |= outside[1:]
    found[:, 1:] |= outside[:, :-1]
    found[:, :-1] |= outside[:, 1:]
    return found & mask & valid


def near(edge: np.ndarray, other: np.ndarray, tolerance: float) -> int:
    """How many pixels of an edge lie within a Euclidean distance of one of the other edge; both bool [height, width]."""
    # From 1 on: TensorFlow's threads take the smallest float above 0 for 0, and SciPy, which divides points at 0 by that float,
    # would never come to an end.
    places, others = np.argwhere(edge) + 1, np.argwhere(other) + 1
    if not len(places) or not len(others):
        return 0
    # A tree of the few pixels on the edges takes a fraction of the time of a distance transform of the whole image.
    limit = tolerance * (1 + 1e-9)  # a distance that is a root, such as 5 of (3, 4), is compared after rounding
    return int(np.count_nonzero(np.isfinite(spatial.KDTree(others).query(places, distance_upper_bound=limit)[0])))
