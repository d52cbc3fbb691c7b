"""Colour: values derived by hand. The contract tests cover the label and the crop."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import ops
from input_pipeline.ops import color
from tests.input_pipeline.ops.samples import FILL, SIZE, example, seeds


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


def drawn(count):
    """Numbers as the chain draws them, where neighbouring seeds give independent numbers."""
    return [tf.random.experimental.stateless_fold_in(seed, 1) for seed in seeds(count)]


def colors(*pixels):
    return {"image": tf.constant([pixels], tf.float32), "label": tf.zeros([1, len(pixels)], tf.uint8)}


def test_hue_by_hand():
    # Half of the circle: I and Q change their sign, so a pixel becomes twice its luma minus itself: (200, 100, 50) with the
    # luma 124.2 becomes (48.4, 148.4, 198.4). The draw is +-delta, so any other angle lies on the ellipse between.
    given, angles = colors((200, 100, 50), (80, 80, 80)), []
    half = pointwise_turn(given, 0.5)
    np.testing.assert_allclose(half[0], (48.4, 148.4, 198.4), atol=0.1)
    np.testing.assert_allclose(half[1], 80, atol=0.05)
    for seed in seeds(50):
        image = color.hue(given, seed, 0.25)["image"].numpy()[0]
        assert image[0] @ color.LUMA == pytest.approx(124.2, abs=0.05)
        np.testing.assert_allclose(image[1], 80, atol=0.05)
        # I and Q of (200, 100, 50): 119.18 - 27.46 - 16.07 = 75.65 and 42.3 - 52.27 + 15.56 = 5.59.
        i, q = (np.array(color.YIQ) @ image[0])[1:]
        assert np.hypot(i, q) == pytest.approx(np.hypot(75.65, 5.59), abs=0.1)
        angles.append(np.arctan2(q, i) - np.arctan2(5.59, 75.65))
    assert np.abs(angles).max() <= np.pi / 2 + 1e-3  # 0.25 of the circle
    assert np.ptp(angles) > 2


def pointwise_turn(given, share):
    """The pixels with their hue turned by just `share` of the circle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(color._draws, "either_way", lambda seed, delta: tf.constant(delta))
        return color.hue(given, seeds(1)[0], share)["image"].numpy()[0]


def test_gamma_by_hand():
    # If 64 becomes v, the exponent g is ln(v / 255) / ln(64 / 255). 0 and 255 stay; the other pixel has the same g.
    given, exponents = colors((0, 64, 255), (128, 32, 16)), []
    for seed in drawn(60):
        image = color.gamma(given, seed, 2.0)["image"].numpy()[0]
        np.testing.assert_allclose(image[0, [0, 2]], (0, 255), atol=1e-3)
        exponents.append(np.log(image[0, 1] / 255) / np.log(64 / 255))
        np.testing.assert_allclose(image[1], 255 * (np.array([128, 32, 16]) / 255) ** exponents[-1], atol=0.01)
    assert 0.5 - 1e-3 <= min(exponents) < 0.65
    assert 1.6 < max(exponents) <= 2 + 1e-3
    # The logarithm is uniform: half of the exponents are below 1: 30 of 60, three deviations of 3.9 either way.
    assert 18 <= sum(g < 1 for g in exponents) <= 42


def test_darken_by_hand():
    """255 becomes 255 gain, and 64 becomes 255 gain (64 / 255)^g."""
    found = []
    for seed in drawn(40):
        image = color.darken(colors((0, 64, 255), (64, 255, 0)), seed, (1.0, 1.5), (0.5, 0.9))["image"].numpy()[0]
        np.testing.assert_allclose(image[1], image[0, [1, 2, 0]], atol=1e-3)
        gain = image[0, 2] / 255
        found.append((gain, np.log(image[0, 1] / (255 * gain)) / np.log(64 / 255)))
    (low, flat), (high, steep) = np.min(found, 0), np.max(found, 0)
    assert 0.5 - 1e-3 <= low < 0.56
    assert 0.84 < high <= 0.9 + 1e-3
    assert 1 - 1e-3 <= flat < 1.08
    assert 1.42 < steep <= 1.5 + 1e-3


def test_gray_by_hand():
    given, grays = colors((200, 100, 50), (0, 255, 0)), 0
    for seed in drawn(100):
        image = color.gray(given, seed, 0.3)["image"].numpy()[0]
        if np.ptp(image[0]) < 1e-3:
            grays += 1
            np.testing.assert_allclose(image[0], 124.2, atol=1e-3)
            np.testing.assert_allclose(image[1], 0.587 * 255, atol=1e-3)
        else:
            np.testing.assert_array_equal(image, given["image"][0])
    assert 16 <= grays <= 44  # 30 expected, three standard deviations of sqrt(100 * 0.3 * 0.7) = 4.6 either way


def test_channel_shuffle_by_hand():
    given, seen = colors((1, 2, 3), (40, 50, 60)), []
    for seed in drawn(120):
        image = color.channel_shuffle(given, seed, 1.0)["image"].numpy()[0]
        order = image[0].astype(int) - 1
        np.testing.assert_array_equal(image[1], np.array([40, 50, 60])[order])
        seen.append(tuple(order))
    assert len(set(seen)) == 6
    assert max(seen.count(order) for order in set(seen)) < 20 + 3.5 * np.sqrt(20 * 5 / 6)
    # With probability 0 nothing is changed.
    np.testing.assert_array_equal(color.channel_shuffle(given, seeds(1)[0], 0.0)["image"], given["image"])


def test_photometric_is_its_four_ops_each_on_its_share():
    given, fold = colors((200, 100, 50), (10, 80, 120)), tf.random.experimental.stateless_fold_in
    for seed in seeds(3):
        got = color.photometric(given, seed, 0.1, 0.2, 0.3, 0.04, share=1.0)["image"]
        expected = given
        for i, (op, delta) in enumerate(
            [(color.brightness, 0.1), (color.contrast, 0.2), (color.saturation, 0.3), (color.hue, 0.04)]
        ):
            expected = op(expected, fold(seed, i), delta)
        np.testing.assert_allclose(got, expected["image"], atol=1e-2)
    # Brightness alone, on half of the images: 60 of 120, three standard deviations of 5.5 either way.
    changed = [
        np.any(np.abs(color.photometric(given, s, 0.5, 0, 0, 0)["image"] - given["image"]) > 0.1) for s in drawn(120)
    ]
    assert 43 <= sum(changed) <= 77


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("brightness(-0.1)", "Expected delta from 0 to 1. Received: delta=-0.1"),
        ("hue(0.6)", "Expected delta from 0 to 0.5"),
        ("gamma(ratio=0.5)", "Expected ratio from 1 to 10"),
        ("darken(gain=(1, 3))", r"Expected gain=\(a, b\) with 0 <= a <= b <= 2"),
        ("gray(share='all')", "Expected share from 0 to 1. Received: share='all'"),
        ("photometric(contrast=2)", "Expected contrast from 0 to 1"),
    ],
)
def test_options_out_of_range_are_refused(chain, message):
    with pytest.raises(ValueError, match=message):
        ops.build(chain, SIZE, FILL)(example(), seeds(1)[0])


def test_wrong_options_say_what_is_known():
    with pytest.raises(ValueError, match=r"Expected brightness\(delta\)"):
        ops.build("brightness(delta=0.1, gamma=2)", SIZE, FILL)
