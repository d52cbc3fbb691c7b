import numpy as np
import pytest
import tensorflow as tf

from tfseg import uncertainty
from tfseg.inference import monte_carlo


def numbers(values, label, prediction, num_classes=3):
    maps = {kind: tf.constant(values, tf.float32) for kind in monte_carlo.KINDS}
    return uncertainty.numbers(*uncertainty.count(maps, label, prediction, num_classes))


def test_means_and_ranking_by_hand():
    # Right: .1, .3, .2; wrong: .2, .9; the pixel of label 255 does not count. Of the six pairs (wrong, right) the wrong one has
    # more in .2 > .1, .9 > .1, .9 > .3, .9 > .2, less in .2 < .3, and .2 = .2 is half: 4.5 of 6.
    found = numbers([[0.1, 0.3, 0.2, 0.2, 0.9, 5.0]], [[0, 1, 2, 0, 1, 255]], [[0, 1, 2, 1, 2, 0]])["entropy"]
    assert found == {
        "right": pytest.approx(0.2, rel=1e-6),
        "wrong": pytest.approx(0.55, rel=1e-6),
        "auc": pytest.approx(4.5 / 6),
    }


def test_the_area_is_that_of_all_pairs_also_of_tiny_values():
    random = np.random.default_rng(0)
    label, prediction = random.integers(0, 3, (2, 1, 40, 50))
    values = 1e-3 * random.random((1, 40, 50)) ** 2 * (1 + (label != prediction))
    right, wrong = values[label == prediction], values[label != prediction]
    expected = (wrong[:, None] > right).mean() + (wrong[:, None] == right).mean() / 2
    assert numbers(values, label, prediction)["mutual_information"]["auc"] == pytest.approx(expected, abs=1e-3)


def test_counts_of_parts_add_up():
    random = np.random.default_rng(1)
    label, prediction = random.integers(0, 3, (2, 4, 5, 6))
    maps = {kind: tf.constant(random.random((4, 5, 6)) / 5, tf.float32) for kind in monte_carlo.KINDS}
    whole = uncertainty.count(maps, label, prediction, 3)
    parts = [
        uncertainty.count({k: v[half] for k, v in maps.items()}, label[half], prediction[half], 3)
        for half in (slice(2), slice(2, 4))
    ]
    for total, first, second in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(total, first + second, rtol=1e-12)


def test_without_wrong_pixels_there_is_no_ranking():
    found = numbers([[0.1]], [[1]], [[1]])
    assert found["variance"] == {"right": pytest.approx(0.1), "wrong": None, "auc": None}
    assert "ranks errors" in uncertainty.table(found)
