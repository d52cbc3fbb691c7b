"""The frozen bilinear upsampling, and its kernel."""

import keras
import numpy as np
import pytest

import models
from models import layers
from tfseg import profile


def test_bilinear_upsampling_is_a_transposed_convolution_of_every_channel():
    inputs = keras.Input((5, 7, 3))
    model = keras.Model(inputs, layers.bilinear_upsampling(inputs, 4, "up"))
    kernel = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype("float32")
    x = np.random.default_rng(1).standard_normal((1, 5, 7, 3)).astype("float32")
    model.set_weights([kernel])
    full = np.zeros((1, 4 * 5 + 4, 4 * 7 + 4, 3))  # every pixel adds its multiple of the kernel, 4 apart
    for i in range(5):
        for j in range(7):
            full[0, 4 * i : 4 * i + 8, 4 * j : 4 * j + 8] += x[0, i, j] * kernel[:, 0].transpose(1, 2, 0)
    np.testing.assert_allclose(model(x), full[:, 2:-2, 2:-2], atol=1e-5)
    assert not model.trainable_variables
    assert profile.multiply_accumulates(model) == 5 * 7 * 3 * 8 * 8


def test_bilinear_upsampling_keeps_a_constant_inside():
    y = np.asarray(layers.bilinear_upsampling(keras.ops.ones((1, 4, 4, 2)), 8, "up"))
    np.testing.assert_allclose(y[:, 4:-4, 4:-4], 1.0, rtol=1e-6)


def test_a_transposed_convolution_that_starts_bilinear_does_the_same():
    inputs = keras.Input((4, 6, 3))
    x = layers.transposed_conv(inputs, 3, 4, "up", padding=1, bias=False, initial=layers.bilinear)
    both = keras.Model(inputs, [x, layers.bilinear_upsampling(inputs, 2, "frozen")])
    trained, frozen = both(np.random.default_rng(0).standard_normal((1, 4, 6, 3)).astype("float32"))
    np.testing.assert_allclose(trained, frozen, atol=1e-6)


@pytest.mark.parametrize(("size", "padded"), [(33, 33), (34, 41), (32, 33), (1, 1)])
def test_pad_to_a_multiple_with_a_remainder(size, padded):
    x = keras.ops.ones((1, size, 9, 1))
    assert layers.pad_to_multiple(x, 8, 1).shape == (1, padded, 9, 1)


def test_native_resolution_leaves_the_last_step_out():
    x = np.zeros((1, 33, 47, 3), "float32")
    assert models.build("drn", 2)(x)["logits"].shape == (1, 33, 47, 2)
    assert models.build("drn", 2, native_resolution=True)(x)["logits"].shape == (1, 40, 48, 2)


def test_names_of_the_reference_and_the_backbone_depend_on_the_options():
    c26, d22 = models.build('drn(variant="c_26")', 2), models.build("drn", 2)
    assert (c26.backbone, d22.backbone) == ("drn_c_26", "drn_d_22")
    assert (r"^layer8\.", "base.10.") in c26.renames
    assert d22.renames == ((r"^layer", "base."),)
