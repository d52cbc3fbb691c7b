"""models/layers/positions.py: values by hand, and against an independent implementation."""

import cv2
import keras
import numpy as np
import pytest

from models.layers import positions


def table(grid, to, first=0, antialias=False, channels=2):
    """(the table's weights, what it gives for a map of the size `to`)."""
    keras.utils.set_random_seed(0)
    layer = positions.PositionEmbedding(grid, first, antialias)
    inputs = keras.Input((None, None, channels))
    found = keras.Model(inputs, layer(inputs))(np.zeros((1, *to, channels), np.float32))
    return np.asarray(layer.weight)[0], np.asarray(found)[0]


def test_bicubic_positions_are_those_of_opencv():
    """OpenCV's cubic is PyTorch's: a = -0.75, half-pixel centres, the edge repeated."""
    weights, found = table((5, 7), (8, 4), first=1)
    np.testing.assert_array_equal(found[0], weights[0])
    expected = cv2.resize(weights[1:].reshape(5, 7, 2), (4, 8), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(found[1:].reshape(8, 4, 2), expected, atol=1e-6)


def test_antialiased_positions_by_hand():
    """From four values to two, the kernel (a = -0.5) is twice as wide, and its taps beyond the edge are left out.

    The first result lies at 0.5 of the input: distances 0.25, 0.25, 0.75, 1.25 of the wide kernel, whose values there are
    0.8671875, 0.8671875, 0.2265625 and -0.0703125, of the sum 1.890625.
    """
    weights, found = table((4, 1), (2, 1), antialias=True)
    taps = np.array([0.8671875, 0.8671875, 0.2265625, -0.0703125]) / 1.890625
    np.testing.assert_allclose(found, [taps @ weights, taps[::-1] @ weights], atol=1e-7)


@pytest.mark.parametrize("antialias", [True, False])
def test_the_tables_own_grid(antialias):
    weights, found = table((3, 2), (3, 2), 1, antialias)
    np.testing.assert_array_equal(found, weights)


def test_rotation_by_hand():
    """One head of 4 channels, two patches above each other: at -0.5 and 0.5 of the height, in the middle of the width.

    Each axis has one angle: 2 pi * -0.5 = -pi for the first row, pi for the second, 0 for the column. So the channels 0 and 2
    turn by half a circle and 1 and 3 stay. The token before the patches stays too.
    """
    angles = positions.RotaryTable(4)(np.zeros((1, 2, 1, 3)))
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    expected = [[[0, 1, 2, 3], [-4, 5, -6, 7], [-8, 9, -10, 11]]]
    np.testing.assert_allclose(positions.Rotate(1)([x, angles]), expected, atol=1e-5)


def test_products_of_rotated_vectors_depend_on_the_distance_alone():
    angles = positions.RotaryTable(8)(np.zeros((1, 1, 5, 3)))
    query, key = np.random.default_rng(0).normal(size=(2, 1, 1, 16)).astype(np.float32)
    query, key = (positions.Rotate(2)([np.repeat(x, 5, axis=1), angles]) for x in (query, key))
    products = np.asarray(query)[0] @ np.asarray(key)[0].T
    for offset in range(-4, 5):
        np.testing.assert_allclose(np.diff(np.diagonal(products, offset)), 0, atol=1e-4)
    assert np.std(products[0]) > 0.1
