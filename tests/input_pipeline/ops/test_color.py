"""Colour: values derived by hand; the label and the crop are the contract's."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import ops
from tests.input_pipeline.ops.samples import FILL, SIZE, seeds


def test_brightness_and_contrast_by_hand():
    # Image 0, 100: mean 50. Contrast 1 + c gives 50 +- 50 (1 + c): their difference is 100 (1 + c).
    given = {"image": tf.constant([[[0.0] * 3, [100.0] * 3]]), "label": tf.zeros([1, 2], tf.uint8)}
    seen = []
    for seed in seeds(50):
        image = ops.color.contrast(given, seed, 0.2)["image"].numpy()
        assert np.mean(image) == pytest.approx(50, abs=1e-3)
        seen.append(np.ptp(image))
        shift = ops.color.brightness(given, seed, 0.2)["image"].numpy() - given["image"].numpy()
        assert np.ptp(shift) == pytest.approx(0, abs=1e-4)
        assert abs(shift[0, 0, 0]) <= 0.2 * 255
    assert min(seen) >= 80 - 1e-3
    assert max(seen) <= 120 + 1e-3
    assert np.ptp(seen) > 20


def test_saturation_by_hand():
    # (200, 100, 50) has the gray 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2: the distances 75.8, -24.2, -74.2 are
    # scaled by one factor in [0.5, 1.5]; a gray pixel stays.
    given = {"image": tf.constant([[[200.0, 100, 50], [80, 80, 80]]]), "label": tf.zeros([1, 2], tf.uint8)}
    factors = []
    for seed in seeds(50):
        image = ops.color.saturation(given, seed, 0.5)["image"].numpy()
        factors.append((image[0, 0, 0] - 124.2) / 75.8)
        np.testing.assert_allclose(image[0, 0], 124.2 + factors[-1] * np.array([75.8, -24.2, -74.2]), atol=1e-3)
        np.testing.assert_allclose(image[0, 1], 80, atol=1e-3)
    assert min(factors) >= 0.5 - 1e-5
    assert max(factors) <= 1.5 + 1e-5
    assert np.ptp(factors) > 0.5


def test_wrong_options_say_what_is_known():
    with pytest.raises(ValueError, match=r"Expected brightness\(delta\)"):
        ops.build("brightness(delta=0.1, gamma=2)", SIZE, FILL)
