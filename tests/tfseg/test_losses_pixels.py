"""Losses that are a mean over pixels: values derived by hand. What they promise is in test_losses_properties.py."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfseg.losses import boundary_cross_entropy as boundary
from tfseg.losses.bootstrapped_cross_entropy import bootstrapped_cross_entropy
from tfseg.losses.cross_entropy import cross_entropy
from tfseg.losses.focal import focal
from tfseg.losses.ohem_cross_entropy import ohem_cross_entropy

# softmax([log a, log b]) = (a, b) where a + b = 1. The label's probabilities:
#   image 0: 0.9, 0.8, 0.6, 0.5, ignored    image 1: 0.9, 0.2, ignored, ignored, ignored
FIRST = np.array([[0.9, 0.2, 0.6, 0.5, 0.01], [0.9, 0.8, 0.01, 0.01, 0.01]])  # the probability of class 0
LOGITS = np.log(np.stack([FIRST, 1 - FIRST], -1)).astype("float32")[:, None]
LABEL = np.array([[[0, 1, 0, 1, 255]], [[0, 1, 255, 255, 255]]], "uint8")
WEIGHTS = (2.0, 0.5)


def values(function, *args, **options):
    return [float(x) for x in function(*args, **options)]


def minus_log(*probabilities):
    return -sum(map(math.log, probabilities))


def test_focal():
    # gamma = 2: (1 - q)^2 (-log q) over 6 valid pixels
    expected = sum((1 - q) ** 2 * -math.log(q) for q in (0.9, 0.8, 0.6, 0.5, 0.9, 0.2))
    assert values(focal, LOGITS, LABEL) == pytest.approx([expected, 6], rel=1e-5)


def test_focal_with_class_weights():
    # gamma = 1, image 0: labels 0, 1, 0, 1 weigh 2, 0.5, 2, 0.5
    expected = 0.2 * minus_log(0.9) + 0.1 * minus_log(0.8) + 0.8 * minus_log(0.6) + 0.25 * minus_log(0.5)
    received = values(focal, LOGITS[:1], LABEL[:1], class_weights=WEIGHTS, gamma=1)
    assert received == pytest.approx([expected, 5], rel=1e-5)


def test_focal_without_gamma_is_cross_entropy():
    options = {"class_weights": WEIGHTS}
    assert values(focal, LOGITS, LABEL, gamma=0, **options) == values(cross_entropy, LOGITS, LABEL, **options)


@pytest.mark.parametrize("gamma", [0.5, 1, 2])
def test_focal_gradient_where_the_network_is_certain(gamma):
    logits = tf.constant([[[[200.0, -200.0], [0, 1e-6]]]])  # q = 1 to the last digit; q near 1/2
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total, _ = focal(logits, np.array([[[0, 0]]]), gamma=gamma)
    gradient = tape.gradient(total, logits).numpy()
    np.testing.assert_array_equal(gradient[0, 0, 0], [0, 0])
    assert np.isfinite(gradient).all()


def test_focal_keeps_its_digits_near_certainty():
    # 1 - q = 1 / (1 + e^12) = 6.14e-6, of which 1 - float32(q) keeps two digits; -log q = log(1 + e^-12)
    expected = (1 / (1 + math.exp(12))) ** 2 * math.log1p(math.exp(-12))
    total, _ = values(focal, np.array([[[[12.0, 0]]]], "float32"), np.array([[[0]]]))
    assert total == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        # below 0.7: 0.6, 0.5 | 0.2; 1/16 of 4 | 2 pixels is 1 | 1, which are among them
        ({}, (0.6, 0.5, 0.2)),
        # below 0.55: 0.5 | 0.2; at least 3/4 of 4 | 2, that is 3 | ceil(1.5) = 2
        ({"threshold": 0.55, "min_kept": 0.75}, (0.5, 0.6, 0.8, 0.2, 0.9)),
        # below 0.1: none; at least ceil(0.1 * 4) | ceil(0.1 * 2) = 1 | 1
        ({"threshold": 0.1, "min_kept": 0.1}, (0.5, 0.2)),
        # below 0.1 and nothing else: none
        ({"threshold": 0.1, "min_kept": 0.0}, ()),
        # top-k: half of 4 | 2 is 2 | 1
        ({"threshold": None, "min_kept": 0.5}, (0.5, 0.6, 0.2)),
        ({"threshold": None, "min_kept": 1.0}, (0.9, 0.8, 0.6, 0.5, 0.9, 0.2)),
        ({"threshold": 1.0}, (0.9, 0.8, 0.6, 0.5, 0.9, 0.2)),
    ],
)
def test_ohem(options, kept):
    expected = [minus_log(*kept), len(kept)]
    assert values(ohem_cross_entropy, LOGITS, LABEL, **options) == pytest.approx(expected, rel=1e-5)


def test_ohem_with_class_weights():
    # kept as without: 0.6 of label 0, 0.5 of label 1 | 0.2 of label 1
    expected = [2 * minus_log(0.6) + 0.5 * minus_log(0.5) + 0.5 * minus_log(0.2), 3]
    assert values(ohem_cross_entropy, LOGITS, LABEL, class_weights=WEIGHTS) == pytest.approx(expected, rel=1e-5)


def test_ohem_counts_ties_once():
    # five pixels of the same loss, log 2: ceil(0.4 * 5) = 2 of them
    logits, label = np.zeros((1, 1, 5, 2), "float32"), np.zeros((1, 1, 5), "uint8")
    received = values(ohem_cross_entropy, logits, label, threshold=None, min_kept=0.4)
    assert received == pytest.approx([2 * math.log(2), 2])


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        # mean of the 2 hardest: 0.5, 0.6 | 0.2, 0.9
        (2, minus_log(0.5, 0.6) / 2 + minus_log(0.2, 0.9) / 2),
        # 3: 0.5, 0.6, 0.8 | only two are valid
        (3, minus_log(0.5, 0.6, 0.8) / 3 + minus_log(0.2, 0.9) / 2),
        # more than there are: all
        (16384, minus_log(0.5, 0.6, 0.8, 0.9) / 4 + minus_log(0.2, 0.9) / 2),
    ],
)
def test_bootstrapped(pixels, expected):
    assert values(bootstrapped_cross_entropy, LOGITS, LABEL, pixels=pixels) == pytest.approx([expected, 2], rel=1e-5)


def test_bootstrapped_with_class_weights():
    # 2 hardest: 0.5 of label 1, 0.6 of label 0 | 0.2 of label 1, 0.9 of label 0
    first = (0.5 * minus_log(0.5) + 2 * minus_log(0.6)) / 2.5
    second = (0.5 * minus_log(0.2) + 2 * minus_log(0.9)) / 2.5
    received = values(bootstrapped_cross_entropy, LOGITS, LABEL, class_weights=WEIGHTS, pixels=2)
    assert received == pytest.approx([first + second, 2], rel=1e-5)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (ohem_cross_entropy, {"min_kept": 0}),
        (ohem_cross_entropy, {"threshold": None}),
        (bootstrapped_cross_entropy, {"pixels": 1}),
    ],
)
def test_selection_does_not_hide_nan(function, options):
    """Wherever it stands and whatever its sign, which some sorts put first and some last."""
    compiled = tf.function(function, jit_compile=True)
    for nan in (math.nan, -math.nan):
        for x in range(4):
            logits = LOGITS.copy()
            logits[0, 0, x] = nan
            assert math.isnan(values(function, logits, LABEL, **options)[0])
            assert math.isnan(values(compiled, logits, LABEL, **options)[0])


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (focal, {"gamma": -1}, "gamma"),
        (ohem_cross_entropy, {"threshold": 0}, "threshold"),
        (ohem_cross_entropy, {"min_kept": 100000}, "fraction"),
        (ohem_cross_entropy, {"threshold": None, "min_kept": 0}, "keeps no pixel"),
        (bootstrapped_cross_entropy, {"pixels": 0.25}, "integer"),
        (focal, {"class_weights": (1, 2, 3)}, "2 class weights"),
        (focal, {"label": LABEL[:, :, :2]}, "size"),
    ],
)
def test_errors(function, options, message):
    options = dict(options)
    with pytest.raises(ValueError, match=message):
        function(LOGITS, options.pop("label", LABEL), **options)


def test_boundary_cross_entropy():
    """One row of labels 0 0 0 1 1 and an ignored pixel: edges at columns 2 and 3, distances 2, 1, 0, 0, 1."""
    label = np.array([[[0, 0, 0, 1, 1, 255]]], "uint8")
    # Every pixel's label has probability 1/2. sigma = 1: weights 1 + 4 exp(-d^2 / 2)
    weights = [1 + 4 * math.exp(-d * d / 2) for d in (2, 1, 0, 0, 1)]
    received = values(boundary.boundary_cross_entropy, np.zeros((1, 1, 6, 2), "float32"), label, weight=4.0, sigma=1.0)
    assert received == pytest.approx([sum(weights) * math.log(2), sum(weights)], rel=1e-6)


def test_boundary_cross_entropy_without_weight_or_edges_is_cross_entropy():
    options = {"class_weights": WEIGHTS}
    expected = values(cross_entropy, LOGITS, LABEL, **options)
    assert values(boundary.boundary_cross_entropy, LOGITS, LABEL, weight=0, **options) == pytest.approx(expected)
    # A label of one class beside ignored pixels has no edge.
    label = np.where(LABEL == 255, 255, 0)
    expected = values(cross_entropy, LOGITS, label)
    assert values(boundary.boundary_cross_entropy, LOGITS, label) == pytest.approx(expected)


def test_distance_to_the_nearest_edge():
    """Euclidean, up to the radius along an axis: (2, 1) from the only edge of the first image, none in the second."""
    edges = np.zeros((2, 7, 8), bool)
    edges[0, 3, 2] = True
    received = boundary._squared_distance(tf.constant(edges), 2).numpy()
    y, x = np.mgrid[:7, :8]
    expected = np.where((abs(y - 3) <= 2) & (abs(x - 2) <= 2), (y - 3) ** 2 + (x - 2) ** 2, np.inf)
    np.testing.assert_array_equal(received, [expected, np.full((7, 8), np.inf)])


@pytest.mark.parametrize("options", [{"weight": -1.0}, {"sigma": 0.0}])
def test_boundary_cross_entropy_refuses(options):
    with pytest.raises(ValueError, match="Expected a weight of 0 or more and a sigma above 0"):
        boundary.boundary_cross_entropy(LOGITS, LABEL, **options)
