import keras
import numpy as np
import pytest
import tensorflow as tf

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


# 0.5 of 13 x 6 is 6.5 x 3, rounded up and at least 5; 0.1 of 70 x 81 is 7 x 8.1; 1.5 of 7 x 2 is 10.5 x 3.
@pytest.mark.parametrize(
    ("scale", "height", "width", "expected"), [(0.5, 13, 6, (7, 5)), (0.1, 70, 81, (7, 9)), (1.5, 7, 2, (11, 5))]
)
def test_scales(scale, height, width, expected):
    x = np.random.default_rng(0).standard_normal((2, height, width, 3)).astype(np.float32)
    inputs = keras.Input((None, None, 3))
    pooled = keras.Model(inputs, layers.adaptive_average_pool(inputs, scale=scale, least=5))
    resized = keras.Model(inputs, layers.resize(inputs, scale=scale, least=5))
    for model in (pooled, resized):
        assert model.output_shape == (None, None, None, 3)
        assert model.compute_output_shape((2, height, width, 3)) == (2, *expected, 3)
        assert model(x).shape == (2, *expected, 3)
        assert tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3))])(x).shape == (2, *expected, 3)
        np.testing.assert_array_equal(keras.Model.from_config(model.get_config())(x), model(x))


def test_like():
    x = np.arange(6.0, dtype=np.float32).reshape(1, 1, 6, 1)
    inputs, like = keras.Input((None, None, 1)), keras.Input((None, None, 1))
    model = keras.Model([inputs, like], layers.adaptive_average_pool(inputs, like=like))
    # Four cells of six pixels: 0 to 1.5, 1.5 to 3, 3 to 4.5, 4.5 to 6, each with every pixel that it touches.
    assert np.ravel(model([x, np.zeros((1, 1, 4, 1))])).tolist() == [0.5, 1.5, 3.5, 4.5]
