import numpy as np
import pytest

from tests.tfseg.inference import reference
from tests.tfseg.metrics import samples
from tfseg.metrics import boundary_iou

CASES = [case for file in reference.files("boundary") for case in file["cases"]]


def values(label, prediction, classes, **options):
    count = boundary_iou.boundary_iou([str(i) for i in range(classes)], **options)
    return samples.of_maps(count, label, prediction, classes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']} {case['d']}")
def test_values_and_counts_are_those_of_the_reference(case):
    classes = [str(i) for i in range(len(case["boundary_iou"]))]
    count = boundary_iou.boundary_iou(classes, width=case["d"])
    scores = np.eye(len(classes), dtype="float32")[np.array(case["prediction"])][np.newaxis]
    total = samples.total(count, np.array(case["label"], "uint8")[np.newaxis], scores)
    for i, name in enumerate(classes):
        expected = [case["counts"][name][key] for key in ("intersection", "union")]
        np.testing.assert_array_equal(total[:, i], expected)
    found = count.values(total)
    assert found["boundary_iou"] == pytest.approx(case["boundary_iou"], rel=1e-6)
    assert found["mean_boundary_iou"] == pytest.approx(case["mean_boundary_iou"], rel=1e-6)


def test_by_hand():
    """Two rows of five: class 1 in columns 0..2 of the label and 0..3 of the prediction, width 1 pixel.

    All its pixels lie at the border of the picture, so both rings are the whole masks: 6 of 8. Class 0: 2 of 4. Class 2: none.
    """
    found = values([[1, 1, 1, 0, 0]] * 2, [[1, 1, 1, 1, 0]] * 2, 3, width=1)
    assert found["boundary_iou"] == {"0": 2 / 4, "1": 6 / 8, "2": None}
    assert found["mean_boundary_iou"] == (2 / 4 + 6 / 8) / 2


def test_a_share_of_the_diagonal():
    """Of 30 x 40 the diagonal is 50: 0.05 is 2.5, rounded to even 2; 0.0001 is at least 1 pixel."""
    rng = np.random.default_rng(0)
    label, prediction = (np.kron(rng.integers(0, 2, (3, 4)), np.ones((10, 10), int)) for _ in range(2))
    for share, pixels in ((0.05, 2), (0.0001, 1), (0.08, 4)):
        assert values(label, prediction, 2, width=share) == values(label, prediction, 2, width=pixels)
    assert values(label, prediction, 2, width=2) != values(label, prediction, 2, width=4)


def test_over_images_counts_are_summed():
    """One image of 4 right ring pixels of 4, one of 0 of 12: 4/16, and not the mean of 1 and 0."""
    count = boundary_iou.boundary_iou(["0", "1"], width=1)
    label = np.zeros((2, 6, 6), "uint8")
    prediction = np.zeros((2, 6, 6), int)
    label[0, :2, :2] = prediction[0, :2, :2] = 1
    label[1, :2, :3], prediction[1, 3:5, 3:6] = 1, 1
    scores = np.eye(2, dtype="float32")[prediction]
    assert count.values(samples.total(count, label, scores))["boundary_iou"]["1"] == 4 / 16
