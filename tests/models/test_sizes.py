"""Sizes that need care: outputs larger than the image, and images that are too small for a backbone without padding."""

import keras
import numpy as np
import pytest

import models
from models import backbones


def images(height, width):
    return np.random.default_rng(0).integers(0, 256, (1, height, width, 3)).astype("float32")


# If every stride rounds up, references double the rounded map as often as they halved the image.
@pytest.mark.parametrize(
    ("spec", "size"),
    [
        ("bisenet(auxiliary=True)", (89, 121)),  # 45 x 61, 23 x 31, 12 x 16, which it enlarges 8 times
        ("edanet", (92, 124)),  # 46 x 62, 23 x 31, 12 x 16, 8 times
        ("linknet", (93, 125)),  # 47 x 63, 24 x 32, which its decoder returns, 4 times
        ("sqnet", (95, 127)),  # 48 x 64, twice
    ],
)
def test_the_native_output_is_larger_than_the_image(spec, size):
    x = images(*size)
    native = models.build(spec, 3, native_resolution=True)(x)
    assert {y.shape for y in native.values()} == {(1, 96, 128, 3)}
    assert {y.shape for y in models.build(spec, 3)(x).values()} == {(1, *size, 3)}


# Without padding, nothing is left of an image smaller than 75 pixels.
@pytest.mark.parametrize("backbone", ["inception_v3", pytest.param("inception_resnet_v2", marks=pytest.mark.slow)])
def test_small_images_on_backbones_without_padding(backbone, tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, backbones.build(backbone, inputs))
    features = model(images(33, 47))
    # No map covers more than its share: ceil(33 / 2) x ceil(47 / 2) at 1/2, ceil(33 / 32) x ceil(47 / 32) at 1/32.
    largest = {"c1": (17, 24), "c2": (9, 12), "c3": (5, 6), "c4": (3, 3), "c5": (2, 2)}
    for level, (height, width) in largest.items():
        _, h, w, _ = features[level].shape
        assert 0 < h <= height, level
        assert 0 < w <= width, level
    # The part that covers the image equals that of a larger image: 75 x 75 with zeros beyond 33 x 47.
    padded = np.zeros((1, 75, 75, 3), "float32")
    padded[:, :33, :47] = images(33, 47)
    np.testing.assert_allclose(features["c1"], model(padded)["c1"][:, :17, :24], rtol=1e-4, atol=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")(images(33, 47))
    np.testing.assert_allclose(again["c5"], features["c5"], rtol=1e-4, atol=1e-4 * np.std(features["c5"]))


@pytest.mark.parametrize("network", ["linknet", "unet", "fcn"])
@pytest.mark.parametrize("size", [(33, 47), (32, 48)])
def test_networks_take_small_images_on_inception(network, size):
    logits = models.build(f'{network}(backbone="inception_v3")', 3)(images(*size))["logits"]
    assert logits.shape == (1, *size, 3)
    assert np.isfinite(logits).all()
