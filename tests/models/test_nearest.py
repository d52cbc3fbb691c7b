"""Scaling up to the nearest pixel."""

import keras
import numpy as np
import pytest

from models import layers


@pytest.mark.parametrize("size", [(5, 8), (6, 7), (7, 9)])
def test_is_the_nearest_pixel_of_other_frameworks(size):
    """PyTorch's rule: pixel i of m is pixel floor(i * n / m) of n."""
    x = np.arange(2 * 3 * 4 * 2, dtype="float32").reshape(2, 3, 4, 2)
    inputs, like = keras.Input((None, None, 2)), keras.Input((None, None, 1))
    model = keras.Model([inputs, like], layers.nearest(inputs, 2, like))
    rows, columns = (np.arange(m) * n // m for m, n in zip(size, (3, 4), strict=True))
    found = model([x, np.zeros((2, *size, 1), "float32")])
    np.testing.assert_array_equal(found, x[:, rows][:, :, columns])


def test_a_factor_of_one_changes_nothing():
    x = np.ones((1, 3, 4, 2), "float32")
    np.testing.assert_array_equal(layers.nearest(x, 1, x), x)
