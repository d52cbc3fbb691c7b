"""models/layers/attention.py against equation 1 of its paper, written out for each head."""

import keras
import numpy as np
import pytest

from models import layers
from tfseg import profile

QUERIES, KEYS, CHANNELS, VALUES, HEADS = 5, 7, 6, 4, 2


def draws(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def network(fixed, biased, scale=None):
    """A model of the layer; `fixed` says whether the numbers of queries and keys are known when it is built."""
    queries, keys = (QUERIES, KEYS) if fixed else (None, None)
    inputs = [keras.Input((queries, CHANNELS)), keras.Input((keys, CHANNELS)), keras.Input((keys, VALUES))]
    bias = keras.Input((HEADS, queries, keys)) if biased else None
    outputs = layers.attention(*inputs, HEADS, bias=bias, scale=scale)
    return keras.Model([*inputs, bias] if biased else inputs, outputs)


def by_hand(query, key, value, bias, scale):
    """Equation 1, one image and one head after another, in float64."""
    found = np.zeros((*query.shape[:2], VALUES))
    for image in range(len(query)):
        for head in range(HEADS):
            own = slice(head * CHANNELS // HEADS, (head + 1) * CHANNELS // HEADS)
            products = scale * query[image][:, own].astype(np.float64) @ key[image][:, own].T + bias[image, head]
            weights = np.exp(products) / np.exp(products).sum(axis=1, keepdims=True)
            own = slice(head * VALUES // HEADS, (head + 1) * VALUES // HEADS)
            found[image][:, own] = weights @ value[image][:, own]
    return found


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_equation_1(fixed, scale):
    query, key, value = draws(2, QUERIES, CHANNELS), draws(2, KEYS, CHANNELS), draws(2, KEYS, VALUES)
    bias = draws(2, HEADS, QUERIES, KEYS)
    scale_by_hand = (CHANNELS / HEADS) ** -0.5 if scale is None else scale
    found = network(fixed, True, scale)([query, key, value, bias])
    np.testing.assert_allclose(found, by_hand(query, key, value, bias, scale_by_hand), rtol=1e-5, atol=1e-6)
    found = network(fixed, False, scale)([query, key, value])
    np.testing.assert_allclose(found, by_hand(query, key, value, 0 * bias, scale_by_hand), rtol=1e-5, atol=1e-6)


def test_large_negative_bias_hides_a_key():
    query, key, value = draws(1, QUERIES, CHANNELS), draws(1, KEYS, CHANNELS), draws(1, KEYS, VALUES)
    bias = np.zeros((1, HEADS, QUERIES, KEYS), np.float32)
    bias[..., 3] = -1e9
    model = network(True, True)
    before = model([query, key, value, bias])
    key[:, 3], value[:, 3] = 5, 7
    np.testing.assert_array_equal(model([query, key, value, bias]), before)


def test_multiply_accumulates():
    # For each head, every query times every key: 3 channels to compare, 2 to add up.
    assert profile.multiply_accumulates(network(True, False)) == HEADS * QUERIES * KEYS * (3 + 2)


def test_half_precision():
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network(False, False)
    finally:
        keras.config.set_dtype_policy(previous)
    inputs = [draws(1, QUERIES, CHANNELS), draws(1, KEYS, CHANNELS), draws(1, KEYS, VALUES)]
    found = model(inputs)
    assert found.dtype == "bfloat16"
    np.testing.assert_allclose(np.asarray(found, np.float32), network(False, False)(inputs), atol=2**-6)


def test_saves_and_loads(tmp_path):
    model = network(False, True, scale=0.5)
    inputs = [draws(1, QUERIES, CHANNELS), draws(1, KEYS, CHANNELS), draws(1, KEYS, VALUES)]
    inputs.append(draws(1, HEADS, QUERIES, KEYS))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
