import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.inference import reference
from tests.tfseg.metrics import samples
from tfseg.metrics import boundary_f1

CASES = [case for file in reference.files("boundary") for case in file["cases"]]
KEYS = ("predicted_edge", "predicted_near", "true_edge", "true_near")


def values(label, prediction, classes, **options):
    count = boundary_f1.boundary_f1([str(i) for i in range(classes)], **options)
    return samples.of_maps(count, label, prediction, classes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']} {case['tolerance']}")
def test_values_and_counts_are_those_of_the_reference(case):
    classes = [str(i) for i in range(len(case["boundary_f1"]))]
    count = boundary_f1.boundary_f1(classes, width=case["tolerance"])
    scores = np.eye(len(classes), dtype="float32")[np.array(case["prediction"])][np.newaxis]
    total = samples.total(count, np.array(case["label"], "uint8")[np.newaxis], scores)
    for i, name in enumerate(classes):
        np.testing.assert_array_equal(total[:, i], [case["counts"][name][key] for key in KEYS])
    found = count.values(total)
    assert found["boundary_f1"] == pytest.approx(case["boundary_f1"], rel=1e-6)
    assert found["mean_boundary_f1"] == pytest.approx(case["mean_boundary_f1"], rel=1e-6)


# A row of eight pixels. The edge of the label is between columns 2 and 3, so its edge pixels are column 2 of class 1 and
# column 3 of class 0.
LABEL = [[1, 1, 1, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("prediction", "width", "expected"),
    [
        ([[1, 1, 1, 1, 0, 0, 0, 0]], 1, {"0": 1.0, "1": 1.0}),  # one pixel away
        ([[1, 1, 1, 1, 1, 0, 0, 0]], 1, {"0": 0.0, "1": 0.0}),  # two
        ([[1, 1, 1, 1, 1, 0, 0, 0]], 2, {"0": 1.0, "1": 1.0}),
        # Edges of class 1 at columns 2, 5 and 6, of which the first is near; of class 0 at 3, 4 and 7, of which 3 and 4 are
        # near column 3: P 1/3 and 2/3, R 1, F1 2/4 and 4/5.
        ([[1, 1, 1, 0, 0, 1, 1, 0]], 1, {"0": 4 / 5, "1": 2 / 4}),
        ([[0, 0, 0, 0, 0, 0, 0, 0]], 1, {"0": 0.0, "1": 0.0}),  # the prediction has no edge
    ],
)
def test_by_hand(prediction, width, expected):
    found = values(LABEL, prediction, 3, width=width)
    assert found["boundary_f1"] == pytest.approx({**expected, "2": None})
    assert found["mean_boundary_f1"] == pytest.approx((expected["0"] + expected["1"]) / 2)


def test_the_distance_is_euclidean():
    """Two pixels (3, 4) apart: their distance is 5."""
    edge, other = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    edge[1, 1] = other[4, 5] = True
    assert boundary_f1.near(edge, other, 4.99) == 0
    assert boundary_f1.near(edge, other, 5) == 1


def test_ignored_pixels_make_no_edge_and_change_nothing():
    label = [[1, 1, 1, 255, 255, 0, 0, 0]]  # no valid pixel has a valid neighbour of another class
    for prediction in ([[1, 1, 1, 0, 1, 0, 0, 0]], [[1, 1, 1, 1, 1, 0, 0, 0]]):
        assert values(label, prediction, 2, width=1)["mean_boundary_f1"] is None


def test_edges_on_the_border_of_the_picture_in_tensorflows_threads():
    """They take denormal floats for 0; with half of the points at 0, SciPy's tree once recursed until the process crashed."""
    edge = np.zeros((40, 60), bool)
    edge[:30, 0] = edge[:3, 50] = True
    near = tf.function(lambda x: tf.numpy_function(lambda e: np.int64(boundary_f1.near(e, e, 2.0)), [x], tf.int64))
    assert near(edge) == 33
