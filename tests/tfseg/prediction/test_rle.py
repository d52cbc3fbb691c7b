"""Run lengths by hand, and against pycocotools."""

import numpy as np
import pytest

from input_pipeline.source.foreign import shapes
from tfseg.prediction import rle


def test_runs_go_down_the_columns():
    """Columns of 3: (0 1 1), (1 1 1), (0 0 1): one 0, then five 1, as the second column follows the first; two 0; one 1."""
    mask = np.array([[0, 1, 0], [1, 1, 0], [1, 1, 1]], bool)
    assert rle.run_lengths(mask, (3, 3)) == [1, 5, 2, 1]
    assert rle.run_lengths(np.ones((3, 2), bool), (3, 2)) == [0, 6]
    assert rle.run_lengths(np.zeros((3, 2), bool), (3, 2)) == [6]


def test_numbers_are_written_in_5_bits():
    """1 is "1" (48 + 1). 100 is 3 * 32 + 4: 4 and "more follows", 32 + 4 + 48 = "T", then 3, "3". From the fourth number on
    the difference counts: 40 after .., 100, .. is -60 = -2 * 32 + 4: again "T", then -2 in 5 bits, 30 + 48 = "N".
    """
    assert rle.packed([1, 100, 1]) == "1T31"
    assert rle.packed([1, 100, 1, 40]) == "1T31TN"


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (40, 33), (64, 80)])
def test_segments_agree_with_pycocotools(size):
    mask = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed: pip install '.[test]'")
    label = np.random.default_rng(size[0]).choice(3, size, p=(0.6, 0.3, 0.1)).astype(np.uint16)
    drawn = np.full(size, 255, np.uint16)
    for segment in rle.segments(label):
        inside = mask.decode(segment["segmentation"]).astype(bool)
        again = mask.encode(np.asfortranarray(inside.astype(np.uint8)))
        assert again["counts"].decode() == segment["segmentation"]["counts"]
        assert mask.area(again) == segment["area"] == inside.sum()
        assert mask.toBbox(again).tolist() == segment["bbox"]
        assert (drawn[inside] == 255).all()  # no pixel is in two segments
        drawn[inside] = segment["id"]
    np.testing.assert_array_equal(drawn, label)


def test_parts_that_touch_at_a_corner_are_one_and_small_ones_are_left_out():
    label = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]])
    ones = [s for s in rle.segments(label) if s["id"] == 1]
    assert sorted((s["area"], s["bbox"]) for s in ones) == [(1, [3, 1, 1, 1]), (2, [0, 0, 2, 2])]
    assert [s["area"] for s in rle.segments(label, min_area=2)] == [9, 2]
    (one,) = (s for s in rle.segments(label, min_area=2) if s["id"] == 1)
    region = shapes.run_lengths(one["segmentation"], label.shape, 1)  # what reading COCO JSON makes of it
    np.testing.assert_array_equal(shapes.paint([region], label.shape, 0).ids, label * [[1, 1, 1, 0]])
