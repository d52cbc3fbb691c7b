import keras
import numpy as np
import pytest

from models import layers


@pytest.mark.parametrize(("size", "height", "width"), [(7, 7, 7), (7, 3, 4), (6, 13, 17), (3, 12, 10), (1, 5, 2)])
def test_means_of_cells(size, height, width):
    x = np.random.default_rng(0).standard_normal((2, height, width, 5)).astype(np.float32)
    expected = np.empty((2, size, size, 5), np.float32)
    for i in range(size):
        for j in range(size):
            rows = slice(i * height // size, -(-(i + 1) * height // size))
            columns = slice(j * width // size, -(-(j + 1) * width // size))
            expected[:, i, j] = x[:, rows, columns].mean(axis=(1, 2))
    inputs = keras.Input((None, None, 5))
    model = keras.Model(inputs, layers.adaptive_average_pool(inputs, size))
    assert model.output_shape == (None, size, size, 5)
    np.testing.assert_allclose(model(x), expected, atol=1e-6)
    again = keras.Model.from_config(model.get_config())
    np.testing.assert_array_equal(again(x), model(x))
