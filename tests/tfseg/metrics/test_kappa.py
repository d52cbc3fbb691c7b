import numpy as np
import pytest

from tests.tfseg.metrics.samples import ABSENT, CONFUSION, EXTRA_COLUMN, NAN, PREDICTED_ONLY
from tfseg.metrics.kappa import kappa

CASES = [
    (CONFUSION, 3 / 5),  # accuracy 6/8, chance (4*4 + 2*2 + 2*2) / 64 = 3/8
    (ABSENT, 2 / 3),  # accuracy 5/6, chance (4*3 + 0*0 + 2*3) / 36 = 1/2
    (PREDICTED_ONLY, 7 / 10),  # accuracy 5/6, chance (4*3 + 0*1 + 2*2) / 36 = 4/9
    (EXTRA_COLUMN, 2 / 5),  # accuracy 5/8, chance (4*4 + 4*2) / 64 = 3/8
    ([[0, 2], [2, 0]], -1),  # accuracy 0, chance 1/2
    ([[2, 2], [2, 2]], 0),  # accuracy 1/2, chance 1/2
    ([[7, 0], [0, 0]], NAN),  # chance 1
]


def test_more_pixels_than_products_in_int64_hold():
    assert kappa(np.int64(10**10) * np.array(CONFUSION)) == pytest.approx(3 / 5)


def test_the_order_in_memory_does_not_change_it():
    confusion = np.random.default_rng(0).integers(0, 1000, (11, 11))
    assert kappa(np.asfortranarray(confusion)) == kappa(confusion)
