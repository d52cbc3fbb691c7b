"""Batch norm statistics computed again."""

import keras
import numpy as np

from models import layers
from tfseg import batch_statistics


def test_statistics_are_the_mean_over_batches():
    """Two batches of one channel: 1, 3 (mean 2, unbiased variance 2) and 5, 5, 8, 10 (mean 7, unbiased variance 6).

    So the moving mean is (2 + 7) / 2 = 4.5, and the moving variance (2 + 6) / 2 = 4, whatever they were before.
    """
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, layers.batch_norm(inputs, "norm"))
    norm = model.get_layer("norm")
    norm.moving_mean.assign([100.0])
    batches = [np.array(values, "float32").reshape(1, 1, -1, 1) for values in ([1, 3], [5, 5, 8, 10])]
    assert batch_statistics.recompute(model, batches) == 2
    np.testing.assert_allclose(norm.moving_mean, [4.5], rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, [4.0], rtol=1e-5)
    assert norm.momentum == 0.9
    np.testing.assert_array_equal(norm.gamma, [1.0])
