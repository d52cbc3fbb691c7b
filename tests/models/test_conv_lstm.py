import numpy as np
import pytest

import models
from models import layers


def test_patches_are_blocks_of_pixels():
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 3)).astype(np.float32)
    found = np.asarray(layers.patches(x, 2))
    assert found.shape == (2, 2, 3, 12)
    for row, column in ((0, 0), (1, 2)):
        block = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        np.testing.assert_array_equal(found[:, row, column], block.reshape(2, 12))


def test_every_map_matters_and_an_unknown_pixel_is_no_class():
    model = models.build("conv_lstm(steps=3, hidden=(4,), kernel=3)", 2)
    image = np.zeros((1, 8, 8, 3), np.float32)
    before = np.asarray(model(image)["logits"])
    for step in range(3):  # with three maps each is a channel
        other = image.copy()
        other[0, 5, 6, step] = 1
        assert np.any(np.asarray(model(other)["logits"]) != before)
    # 255 is no class, and neither is what the image is padded with.
    unknown, padded = (np.full((1, n, n, 3), 255, np.float32) for n in (7, 8))
    np.testing.assert_allclose(model(unknown)["logits"], np.asarray(model(padded)["logits"])[:, :7, :7], atol=1e-6)


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="an odd kernel"):
        models.build("conv_lstm(kernel=4)", 2)
