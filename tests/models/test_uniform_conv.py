"""The convolution that starts as PyTorch's."""

import keras
import numpy as np

from models import layers


def test_start_and_size():
    keras.utils.set_random_seed(0)
    x = keras.Input((10, 11, 64))
    y = layers.uniform_conv(x, 32, (7, 1), "conv")
    kernel, bias = keras.Model(x, y).get_layer("conv").get_weights()
    # 7 x 1 x 64 = 448 inputs: within 1 / sqrt(448) = 0.0472, of a variance of 0.0472^2 / 3. The largest of 14,336 draws
    # comes near the limit.
    assert 0.046 < np.abs(kernel).max() <= 448**-0.5
    np.testing.assert_allclose(kernel.var(), 1 / (3 * 448), rtol=0.05)
    assert not bias.any()
    assert y.shape == (None, 10, 11, 32)
