"""By hand in test_category_iou.py; here its extremes."""

import numpy as np

from tfseg.metrics.mean_category_iou import mean_category_iou


def test_perfect_and_all_wrong():
    groups = [[0, 1], [2]]
    assert mean_category_iou(np.diag([3, 4, 5]), groups) == 1
    assert (
        mean_category_iou(np.array([[0, 3, 0], [4, 0, 0], [0, 0, 5]]), groups) == 1
    )  # confused inside of the category only
    assert mean_category_iou(np.array([[0, 0, 3], [0, 0, 4], [5, 0, 0]]), groups) == 0
