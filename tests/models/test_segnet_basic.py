"""Parts that the contract tests cannot see: the normalisation over channels, and pools that round up."""

import keras
import numpy as np

import models
from models import segnet_basic


def test_local_response_normalization():
    # 1 + 1e-4 / 5 * (100**2 + 200**2 + 50**2) = 2.05: all three channels lie in every window of five.
    pixel = np.array([[[[100.0, 200.0, 50.0]]]], "float32")
    np.testing.assert_allclose(segnet_basic.local_response_normalization(pixel), pixel / 2.05**0.75, rtol=1e-6)
    # Of seven channels of 1000 the first window has three, the second four, the middle ones five: 1 + 20 * count.
    wide = np.full((1, 1, 1, 7), 1000.0, "float32")
    counts = np.array([3, 4, 5, 5, 5, 4, 3])
    expected = 1000.0 / (1 + 20.0 * counts) ** 0.75
    np.testing.assert_allclose(np.ravel(segnet_basic.local_response_normalization(wide)), expected, rtol=1e-5)


def test_pixels_beyond_float16_squared():
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = models.build("segnet_basic", 5, normalization='affine(order="bgr")')
    finally:
        keras.config.set_dtype_policy(previous)
    black, white = (np.asarray(model(np.full((1, 16, 16, 3), v, "uint8"))["logits"]) for v in (0, 255))
    assert np.isfinite(white).all()
    assert np.abs(white - black).max() > 0  # 255**2 * 3 as infinity would make white black


def test_pools_round_up():
    # 17 rows: pools give 9, 5, 3 and 2. Rounding down would give 8, 4, 2 and 1 and lose the last row.
    model = models.build("segnet_basic", 5, normalization=None)
    image = np.random.default_rng(0).standard_normal((1, 17, 16, 3)).astype("float32")
    pooled = keras.Model(model.input, model.get_layer("conv_decode4").input)
    assert pooled(image).shape[1] == 3
    bottom = image.copy()
    bottom[:, -1] += 1.0
    convolved = keras.Model(model.input, [layer.input for layer in model.layers if layer.name in ("conv2", "conv3")])
    for before, after in zip(convolved(image), convolved(bottom), strict=True):
        assert np.abs(np.asarray(after - before)[:, -1]).max() > 0
    assert [y.shape[1] for y in convolved(image)] == [9, 5]
