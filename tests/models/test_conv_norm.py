"""Convolution, batch norm, activation: their names, and their effects."""

import keras
import numpy as np
import pytest

from models import layers


def built(function, channels=3):
    x = keras.Input((6, 8, channels))
    return keras.Model(x, function(x))


@pytest.mark.parametrize(
    ("name", "entries", "expected"),
    [
        ("a", (0, 1), ["a.0", "a.1"]),
        ("a", (2, 3), ["a.2", "a.3"]),
        ("a.b", ("conv", "bn"), ["a.b.conv", "a.b.bn"]),
        ("", ("conv1", "bn1"), ["conv1", "bn1"]),
    ],
)
def test_names(name, entries, expected):
    for model in (
        built(lambda x: layers.conv_norm(x, 4, 3, name, entries)),
        built(lambda x: layers.depthwise_conv_norm(x, 3, name, entries)),
    ):
        assert [layer.name for layer in model.layers if layer.weights] == expected


def test_a_third_entry_names_the_activation():
    model = built(lambda x: layers.conv_norm(x, 4, 3, "a", (0, 1, 2), layers.prelu))
    assert [layer.name for layer in model.layers if layer.weights] == ["a.0", "a.1", "a.2"]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [(layers.relu, [0, 0, 2, 8]), (layers.relu6, [0, 0, 2, 6]), (None, [-1, 0, 2, 8]), ("linear", [-1, 0, 2, 8])],
)
def test_the_norm_comes_before_the_activation(activation, expected):
    x = keras.Input((1, 4, 1))
    model = keras.Model(x, layers.conv_norm(x, 1, 1, "a", activation=activation, epsilon=0.0))
    # Twice x, minus a mean of 4, divided by a deviation of 1/2, plus 1: 4 x - 7.
    model.get_layer("a.0").set_weights([np.full((1, 1, 1, 1), 2.0)])
    model.get_layer("a.1").set_weights([np.array([v]) for v in (1.0, 1.0, 4.0, 0.25)])
    pixels = np.array([1.5, 1.75, 2.25, 3.75]).reshape(1, 1, 4, 1)
    np.testing.assert_allclose(np.asarray(model(pixels)).ravel(), expected, atol=1e-5)


def test_options_reach_both_layers():
    model = built(
        lambda x: layers.conv_norm(x, 4, 3, "a", epsilon=1e-3, momentum=0.99, scale=False, bias=True, stride=2)
    )
    convolution, norm = model.get_layer("a.0"), model.get_layer("a.1")
    assert model.output_shape == (None, 3, 4, 4)
    assert convolution.use_bias
    assert (norm.epsilon, norm.momentum, norm.scale) == (1e-3, 0.99, False)
    assert not built(lambda x: layers.conv_norm(x, 4, 3, "a")).get_layer("a.0").use_bias


def test_transposed():
    model = built(
        lambda x: layers.conv_norm(x, 4, 3, "a", convolution=layers.transposed_conv, padding=1, output_padding=1)
    )
    assert model.output_shape == (None, 12, 16, 4)
