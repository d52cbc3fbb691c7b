"""Attention in windows, against the definition: every pixel with every other one, and a bias that hides most of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers
from tfseg import profile

SIZE, HEADS, CHANNELS = 2, 2, 4


def network(shape, shift, shift_small):
    """A model of the layer whose weights are random numbers."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(shape)
    mask = layers.shift_mask(inputs, SIZE, shift, shift_small) if shift else None
    options = {"size": SIZE, "shift": shift, "mask": mask, "shift_small": shift_small}
    model = keras.Model(inputs, layers.window_attention(inputs, HEADS, "a", initial=layers.normal(1.0), **options))
    for variable in model.trainable_variables:
        variable.assign(keras.random.normal(variable.shape))
    return model


def by_hand(model, x, shift):
    """[height, width, channels] -> the same; `shift` is that of rows and of columns."""
    height, width = x.shape[:2]
    x = np.pad(x.astype(np.float64), ((0, height % SIZE), (0, width % SIZE), (0, 0)))  # to whole windows of 2
    kernel, bias = model.get_layer("a.qkv").get_weights()
    query, key, value = np.split(x.reshape(-1, CHANNELS) @ kernel + bias, 3, axis=-1)
    # Where a pixel lies after the shift, in which window, and where in the window; those that went round form regions.
    places = np.stack(np.meshgrid(*map(np.arange, x.shape[:2]), indexing="ij"), -1).reshape(-1, 2)
    shifted = (places - shift) % x.shape[:2]
    window, inner, round_trip = shifted // SIZE, shifted % SIZE, places < shift
    same = (window[:, None] == window[None]).all(-1)
    hidden = (round_trip[:, None] != round_trip[None]).any(-1)
    rows, columns = np.moveaxis(inner[:, None] - inner[None] + SIZE - 1, -1, 0)
    table = model.get_layer("a.relative_position_bias_table").get_weights()[0]
    found = np.zeros_like(value)
    for head in range(HEADS):
        own = slice(head * CHANNELS // HEADS, (head + 1) * CHANNELS // HEADS)
        products = query[:, own] @ key[:, own].T * (CHANNELS / HEADS) ** -0.5
        products[same] += table[(rows * (2 * SIZE - 1) + columns)[same], head]
        products = np.where(same, products - 100.0 * hidden, -np.inf)
        weights = np.exp(products - products.max(-1, keepdims=True))
        found[:, own] = weights / weights.sum(-1, keepdims=True) @ value[:, own]
    kernel, bias = model.get_layer("a.proj").get_weights()
    return (found @ kernel + bias).reshape(x.shape)[:height, :width]


@pytest.mark.parametrize("sizes_at", ["build", "run"])
@pytest.mark.parametrize(
    ("size", "shift", "shift_small", "expected"),
    [
        ((3, 5), 0, False, (0, 0)),
        ((3, 5), 1, False, (1, 1)),
        ((2, 5), 1, False, (0, 1)),  # one window from top to bottom
        ((2, 5), 1, True, (1, 1)),
        ((1, 1), 1, False, (0, 0)),
    ],
)
def test_a_pixel_sees_its_window(sizes_at, size, shift, shift_small, expected):
    model = network((*size, CHANNELS) if sizes_at == "build" else (None, None, CHANNELS), shift, shift_small)
    x = np.random.default_rng(0).standard_normal((2, *size, CHANNELS)).astype(np.float32)
    any_size = tf.TensorSpec((None, None, None, CHANNELS))
    found = np.asarray(model(x) if sizes_at == "build" else tf.function(model, input_signature=[any_size])(x))
    assert found.shape == x.shape
    for image, y in zip(x, found, strict=True):
        np.testing.assert_allclose(y, by_hand(model, image, expected), rtol=1e-4, atol=1e-5)


def test_it_is_saved_and_runs_in_bfloat16(tmp_path):
    model = network((None, None, CHANNELS), 1, True)
    x = np.random.default_rng(0).standard_normal((1, 3, 5, CHANNELS)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = network((None, None, CHANNELS), 1, True)
    finally:
        keras.config.set_dtype_policy("float32")
    half.set_weights(model.get_weights())
    assert half.output.dtype == "bfloat16"
    np.testing.assert_allclose(np.asarray(half(x), np.float32), model(x), atol=0.1 * np.std(model(x)))


def test_padding_is_counted_once():
    """3 x 5 pixels are padded to 2 x 3 windows of 4: 24 pixels, 12 + 4 outputs of linear layers each, 4 keys for each query."""
    macs = 24 * CHANNELS * (3 * CHANNELS + CHANNELS) + 24 * 4 * 2 * CHANNELS
    assert profile.multiply_accumulates(network((3, 5, CHANNELS), 1, False)) == macs
