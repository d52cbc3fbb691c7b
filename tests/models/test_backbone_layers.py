"""The layers that backbones share."""

import keras
import numpy as np
import pytest

from models import layers
from models.backbones import _dilation


def image(height, width, channels=2, batch=1):
    return np.random.default_rng(0).standard_normal((batch, height, width, channels)).astype(np.float32)


def run(function, x):
    inputs = keras.Input((None, None, x.shape[-1]))
    return np.asarray(keras.Model(inputs, function(inputs))(x))


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (1, 3)])
def test_average_pool_counts_the_padding(stride, dilation):
    x = image(9, 8)
    padded = np.pad(x, ((0, 0), (dilation, dilation), (dilation, dilation), (0, 0)))
    taps = [padded[:, i * dilation :][:, :9, j * dilation :][:, :, :8] for i in range(3) for j in range(3)]
    actual = run(lambda x: layers.average_pool(x, 3, stride, padding=dilation, dilation=dilation), x)
    np.testing.assert_allclose(actual, np.mean(taps, 0)[:, ::stride, ::stride], atol=1e-6)


def test_average_pool_refuses_stride_and_dilation():
    with pytest.raises(ValueError, match="stride 1 with a dilation"):
        layers.average_pool(keras.Input((8, 8, 1)), 3, 2, dilation=2)


@pytest.mark.parametrize("dilation", [1, 2])
def test_dilated_max_pool(dilation):
    x = image(9, 8) - 5.0
    h, w = 9 - 2 * dilation, 8 - 2 * dilation
    taps = [x[:, i * dilation :][:, :h, j * dilation :][:, :, :w] for i in range(3) for j in range(3)]
    np.testing.assert_array_equal(run(lambda x: layers.dilated_max_pool(x, 3, dilation), x), np.max(taps, 0))


def test_dilated_pooling_knows_its_shape():
    y = layers.average_pool(keras.Input((9, 8, 2)), 3, 1, padding=2, dilation=2)
    assert y.shape == (None, 9, 8, 2)


def test_channel_shuffle():
    x = np.arange(6.0, dtype=np.float32) * np.ones((2, 3, 4, 1), np.float32)
    np.testing.assert_array_equal(run(lambda x: layers.channel_shuffle(x, 2), x)[1, 2, 3], [0, 3, 1, 4, 2, 5])
    np.testing.assert_array_equal(run(lambda x: layers.channel_shuffle(x, 3), x)[0, 0, 0], [0, 2, 4, 1, 3, 5])


def test_squeeze_excite():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, layers.squeeze_excite(inputs, 1, "se", gate="hard_sigmoid"))
    model.get_layer("se.fc1").set_weights([np.array([[[[1.0], [2.0]]]]), np.array([-1.0])])
    model.get_layer("se.fc2").set_weights([np.array([[[[3.0, -3.0]]]]), np.array([0.0, 1.0])])
    x = np.array([[[[0.0, 0.0], [1.0, 1.0]]]], np.float32)
    # Means 0.5 and 0.5; hidden relu(0.5 + 1 - 1) = 0.5; gates (1.5 + 3) / 6 = 0.75 and (-0.5 + 3) / 6.
    np.testing.assert_allclose(model(x), x * [0.75, 2.5 / 6], rtol=1e-6)


def test_stochastic_depth():
    keras.utils.set_random_seed(0)
    layer = layers.residual.StochasticDepth(0.2)
    x = np.ones((2000, 2, 3, 1), np.float32)
    np.testing.assert_array_equal(layer(x), x)
    dropped = np.asarray(layer(x, training=True))
    assert set(np.unique(dropped)) == {np.float32(0.0), np.float32(1.25)}
    assert (dropped == dropped[:, :1, :1]).all()  # an image as a whole
    assert abs((dropped[:, 0, 0, 0] == 0).mean() - 0.2) < 0.03
    inputs = keras.Input((2, 3, 1))
    assert layers.stochastic_depth(inputs, 0.0) is inputs


def test_layer_scale():
    layer = layers.LayerScale(0.5)
    np.testing.assert_array_equal(layer(np.ones((1, 2, 2, 3), np.float32)), np.full((1, 2, 2, 3), 0.5, np.float32))
    assert [w.shape for w in layer.trainable_variables] == [(3,)]


@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [
        (32, [(4, 1, 1), (1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)]),
        (16, [(4, 1, 1), (1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)]),
        (8, [(4, 1, 1), (1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)]),
    ],
)
def test_dilation_plan(output_stride, expected):
    assert _dilation.plan((4, 1, 2, 2, 2), output_stride) == expected


def test_dilation_refuses():
    with pytest.raises(ValueError, match="output_stride 8, 16 or 32"):
        _dilation.plan((2, 2), 4)
    with pytest.raises(ValueError, match="output_stride 32 of xception: its pools"):
        _dilation.refuse(16, "xception", "its pools are not centred")
