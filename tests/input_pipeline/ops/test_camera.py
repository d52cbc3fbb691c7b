"""Blur, noise and JPEG artefacts: values derived by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import ops
from input_pipeline.ops import camera
from tests.input_pipeline.ops.samples import FILL, SIZE, seeds

CHAINS = ("blur(share=1.0)", "noise(share=1.0)", "jpeg(quality=(20, 20), share=1.0)")


def picture(pixels):
    pixels = np.asarray(pixels, np.float32)
    return {"image": tf.constant(pixels), "label": tf.zeros(pixels.shape[:2], tf.uint8)}


def test_blur_of_a_point_by_hand():
    # Deviation 1, radius 3: weights e^0, e^-1/2, e^-2, e^-9/2 = 1, 0.6065, 0.1353, 0.0111 over their sum 1 + 2 * 0.7530
    # = 2.5059: 0.3991, 0.2420, 0.0540, 0.0044. A point of 200 in the middle: 200 times the product of two weights.
    point = np.zeros((9, 9, 3))
    point[4, 4] = 200
    image = camera.blur(picture(point), seeds(1)[0], sigma=(1.0, 1.0), share=1.0)["image"].numpy()
    assert image[4, 4] == pytest.approx(200 * 0.3991**2, abs=0.05)
    assert image[4, 6] == pytest.approx(200 * 0.3991 * 0.0540, abs=0.02)
    assert image[5, 3] == pytest.approx(200 * 0.2420**2, abs=0.05)
    assert image[4, 8] == pytest.approx(0, abs=1e-4)
    assert image.sum() == pytest.approx(600, rel=1e-4)


def test_blur_mirrors_the_edges_also_of_an_image_smaller_than_its_kernel():
    # Rows of one value stay; a column of two, 0 and 90, mirrored without end, tends to their mean 45.
    given = picture(np.tile(np.array([[0.0], [90.0]])[..., None], (1, 4, 3)))
    image = camera.blur(given, seeds(1)[0], sigma=(6.0, 6.0), share=1.0)["image"].numpy()
    np.testing.assert_allclose(image, 45, atol=0.5)
    assert np.ptp(image, axis=1).max() < 1e-4


def test_noise_has_its_deviation_and_is_independent():
    given = picture(np.full((64, 64, 3), 128.0))
    added = camera.noise(given, seeds(1)[0], sigma=(8.0, 8.0), share=1.0)["image"].numpy() - 128
    # 12288 draws: the mean's deviation is 8 / 111 = 0.07, that of the deviation 8 / sqrt(24576) = 0.05.
    assert abs(added.mean()) < 0.3
    assert added.std() == pytest.approx(8, abs=0.25)
    # 68.3 % of a normal distribution lie within one deviation; the share's own deviation is 0.4 %.
    assert np.mean(np.abs(added) < 8) == pytest.approx(0.683, abs=0.02)
    for one, other in ((added[:, :, 0], added[:, :, 1]), (added[1:], added[:-1]), (added[:, 1:], added[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.06
    # An odd number of values: two come from one draw.
    assert camera.noise(picture(np.zeros((1, 1, 3))), seeds(1)[0], share=1.0)["image"].shape == (1, 1, 3)


def test_jpeg_is_what_the_file_shows_and_worse_the_lower_its_quality():
    given = picture(np.random.default_rng(0).integers(0, 256, (32, 32, 3)))
    worst, best = (
        camera.jpeg(given, seeds(1)[0], quality=(q, q), share=1.0)["image"].numpy() - given["image"] for q in (10, 100)
    )
    assert np.abs(worst).mean() > np.abs(best).mean() > 0
    file = tf.io.encode_jpeg(tf.cast(given["image"], tf.uint8), quality=10)
    np.testing.assert_array_equal(worst + given["image"], tf.cast(tf.io.decode_jpeg(file), tf.float32))
    # A single colour is stored exactly except for rounding, and values out of range are clipped before.
    flat = camera.jpeg(picture(np.full((16, 16, 3), 300.0)), seeds(1)[0], share=1.0)["image"]
    np.testing.assert_allclose(flat, 255, atol=2)


@pytest.mark.parametrize("name", ["blur", "noise", "jpeg"])
def test_acts_on_its_share_of_the_images(name):
    given = picture(np.random.default_rng(0).integers(0, 256, (8, 8, 3)))
    op = tf.function(lambda seed: getattr(camera, name)(given, seed, share=0.25)["image"])
    changed = sum(bool(np.any(op(seed) != given["image"])) for seed in seeds(120))
    deviation = math.sqrt(120 * 0.25 * 0.75)
    assert abs(changed - 30) < 3 * deviation


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("blur(sigma=(2.0, 1.0))", r"Expected sigma=\(a, b\) with 0.01 <= a <= b <= 20"),
        ("blur(sigma=0)", r"Received: sigma=0\."),
        ("noise(sigma=(0, 300))", "<= 255"),
        ("jpeg(quality=(0, 50))", "Expected quality"),
        ("jpeg(share=2)", "Expected share from 0 to 1. Received: share=2"),
    ],
)
def test_options_out_of_range_are_refused(chain, message):
    with pytest.raises(ValueError, match=message):
        ops.build(chain, SIZE, FILL)(picture(np.zeros((30, 40, 3))), seeds(1)[0])
