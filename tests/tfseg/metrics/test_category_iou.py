"""The three numbers of categories, derived by hand."""

import numpy as np
import pytest

import input_pipeline
from tfseg import metrics
from tfseg.metrics.area_weighted_category_iou import area_weighted_category_iou
from tfseg.metrics.category_iou import category_iou
from tfseg.metrics.mean_category_iou import mean_category_iou

NAMES = ("road", "sidewalk", "sky", "car")
# Classes 0 and 1 are one category, 2 is one, 3 is absent; the last column is a class that only the network has.
# Category 0: hits 4 + 1 + 2 + 3 = 10, label pixels 12, predicted 10 + 1 = 11: 10 / 13. Category 1: 5 / (6 + 6 - 5) = 5 / 7.
CONFUSION = np.array([[4, 1, 1, 0, 0], [2, 3, 0, 0, 1], [0, 1, 5, 0, 0], [0, 0, 0, 0, 0]])
GROUPS = [[0, 1], [2], [3]]


def test_by_hand():
    np.testing.assert_allclose(category_iou(CONFUSION, GROUPS), [10 / 13, 5 / 7, np.nan])
    assert mean_category_iou(CONFUSION, GROUPS) == pytest.approx((10 / 13 + 5 / 7) / 2)
    assert area_weighted_category_iou(CONFUSION, GROUPS) == pytest.approx((12 * 10 / 13 + 6 * 5 / 7) / 18)
    empty = np.zeros((4, 4), int)
    assert np.isnan(mean_category_iou(empty, GROUPS))
    assert np.isnan(area_weighted_category_iou(empty, GROUPS))


def test_compute_matches_classes_by_name():
    categories = {"flat": ("sidewalk", "road"), "sky": ("sky",), "vehicle": ("truck", "car"), "human": ("person",)}
    square = np.vstack([CONFUSION, np.zeros((1, 5), int)])
    result = metrics.compute(square, NAMES, categories)
    assert result["category_iou"] == pytest.approx({"flat": 10 / 13, "sky": 5 / 7, "vehicle": None})
    assert result["mean_category_iou"] == pytest.approx((10 / 13 + 5 / 7) / 2)
    assert "category_iou" not in metrics.compute(square, NAMES)
    assert "category_iou" not in metrics.by_class(result)
    assert "mean_category_iou" in metrics.table(result)


def test_the_categories_of_cityscapes():
    categories = input_pipeline.categories("cityscapes")
    assert list(categories) == ["flat", "construction", "object", "nature", "sky", "human", "vehicle"]
    from input_pipeline.datasets import cityscapes

    assert [name for members in categories.values() for name in members] == [c.name for c in cityscapes.CLASSES]
    assert input_pipeline.categories("camvid") == input_pipeline.categories("my own folder") == {}
