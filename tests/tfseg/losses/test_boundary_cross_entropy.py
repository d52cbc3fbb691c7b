import math

import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.losses import samples
from tests.tfseg.losses.samples import LABEL, LOGITS, values
from tfseg.losses import boundary_cross_entropy as boundary
from tfseg.losses.cross_entropy import cross_entropy

# One row of labels 0 0 0 1 1 and an ignored pixel: edges at columns 2 and 3, distances 2, 1, 0, 0, 1. Every pixel's label
# has probability 1/2. sigma = 1: weights 1 + 4 exp(-d^2 / 2)
ROW = np.array([[[0, 0, 0, 1, 1, 255]]], "uint8")
ROW_WEIGHTS = [1 + 4 * math.exp(-d * d / 2) for d in (2, 1, 0, 0, 1)]
CASES = [
    (
        (np.zeros((1, 1, 6, 2), "float32"), ROW),
        {"weight": 4.0, "sigma": 1.0},
        (sum(ROW_WEIGHTS) * math.log(2), sum(ROW_WEIGHTS)),
    )
]
OPTIONS = [{"weight": 3.0, "sigma": 0.6}, {"sigma": 2.0, "class_weights": samples.WEIGHTS}]


def reference(logits, label, weight=10.0, sigma=5.0, class_weights=(1, 1, 1)):
    terms = []
    for (p, y), ids in zip(samples.valid_pixels(logits, label), label, strict=True):
        height, width = ids.shape
        edges = {
            (i, j)
            for i, j in np.argwhere(ids != 255).tolist()
            for v, u in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
            if 0 <= v < height and 0 <= u < width and ids[v, u] not in (255, ids[i, j])
        }
        reach = math.ceil(3 * sigma)
        for (i, j), q, c in zip(np.argwhere(ids != 255).tolist(), p, y, strict=True):
            near = [(i - v) ** 2 + (j - u) ** 2 for v, u in edges if max(abs(i - v), abs(j - u)) <= reach]
            w = class_weights[c] * (1 + weight * math.exp(-min(near, default=math.inf) / (2 * sigma**2)))
            terms.append((w * -math.log(q[c]), w))
    return tuple(map(sum, zip(*terms, strict=True)))


def test_without_weight_or_edges_it_is_cross_entropy():
    options = {"class_weights": samples.TWO_WEIGHTS}
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
def test_refuses(options):
    with pytest.raises(ValueError, match="Expected a weight of 0 or more and a sigma above 0"):
        boundary.boundary_cross_entropy(LOGITS, LABEL, **options)
