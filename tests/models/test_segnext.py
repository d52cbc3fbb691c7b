"""SegNeXt's matrix decomposition: an image has one result, although the reference draws new bases for every call."""

import keras
import numpy as np

from models.segnext import MatrixDecomposition


def decomposition():
    layer = MatrixDecomposition(name="ham")
    layer.build((None, None, None, 8))
    return layer


def images():
    return np.random.default_rng(0).uniform(size=(2, 4, 6, 8)).astype(np.float32)


def test_evaluation_always_starts_from_the_same_bases_and_training_from_new_ones():
    keras.utils.set_random_seed(0)
    layer, x = decomposition(), images()
    y = np.asarray(layer(x))
    np.testing.assert_array_equal(layer(x), y)
    np.testing.assert_array_equal(decomposition()(x), y)
    np.testing.assert_allclose(
        layer(x[1:]), y[1:], rtol=1e-5
    )  # the images of a batch have nothing to do with each other
    first, second = (np.asarray(layer(x, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-4


def test_multiplicative_updates():
    """Lee and Seung's rules in float64, one image after another, on matrices with a row for each position."""
    layer, x = decomposition(), images()
    for data, found in zip(x.reshape(2, 24, 8).astype(np.float64), np.asarray(layer(x)).reshape(2, 24, 8), strict=True):
        bases = np.array(layer.bases[0], np.float64)  # [channels, 16]
        bases /= np.linalg.norm(bases, axis=0)
        codes = np.exp(data @ bases)
        codes /= codes.sum(axis=1, keepdims=True)
        for step in range(8):  # the last one only fits the coefficients
            codes *= (data @ bases) / (codes @ bases.T @ bases + 1e-6)
            if step < 7:
                bases *= (data.T @ codes) / (bases @ codes.T @ codes + 1e-6)
        np.testing.assert_allclose(found, codes @ bases.T, rtol=1e-4)
