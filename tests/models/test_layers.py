"""Each layer, compared with numbers worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers
from models.layers import convolution, pooling, resizing


def model(function, *shapes):
    """A functional model of `function`, of inputs whose height and width are known only at run time."""
    inputs = [keras.Input((None, None, shape[-1])) for shape in shapes]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], function(*inputs))


def row(*values):
    return np.array(values, np.float32).reshape(1, 1, -1, 1)


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def compiled(function):
    """The function under XLA."""
    return tf.function(function, jit_compile=True)


def values(x):
    return np.asarray(x).reshape(-1).tolist()


@pytest.mark.parametrize("size", [6, 7])
def test_convolution_pads_both_sides_alike(size):
    net = model(lambda x: layers.conv(x, 1, 3, "conv", stride=2, bias=False), (1, 1, size, 1))
    net.get_layer("conv").set_weights([np.array([[0, 0, 0], [1, 10, 100], [0, 0, 0]]).reshape(3, 3, 1, 1)])
    x = row(1, 2, 3, 4, 5, 6, 7)[:, :, :size]
    # Windows start one before the image: TensorFlow's "same" starts on it if the size is even.
    assert values(net(x)) == [210, 432, 654, 76][: (size + 1) // 2]


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: layers.conv(x, 1, 3, "conv", stride=2, padding="same", bias=False), (3, 3, 1, 1)),
        (lambda x: layers.depthwise_conv(x, 3, "conv", stride=2, padding="same", bias=False), (3, 3, 1, 1)),
    ],
)
@pytest.mark.parametrize(("size", "expected"), [(6, [321, 543, 65]), (7, [210, 432, 654, 76])])
def test_convolution_pads_as_tensorflow(function, shape, size, expected):
    """Windows start on the image if the size is even, and one before it if it is odd."""
    net = model(function, (1, 1, size, 1))
    net.get_layer("conv").set_weights([np.array([[0, 0, 0], [1, 10, 100], [0, 0, 0]]).reshape(shape)])
    assert values(net(row(1, 2, 3, 4, 5, 6, 7)[:, :, :size])) == expected


@pytest.mark.parametrize("dilation", [1, 2, (1, 3)])
def test_convolution_keeps_the_size(dilation):
    net = model(lambda x: layers.conv(x, 4, 3, "conv", dilation=dilation, bias=False), (1, 9, 8, 2))
    assert not any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in net.layers)
    x = random(1, 9, 8, 2)
    kernel = net.get_layer("conv").kernel
    expected = tf.nn.convolution(x, kernel, padding="SAME", dilations=dilation)  # by space-to-batch
    np.testing.assert_allclose(net(x), expected, atol=1e-5)


def test_grouped_convolution():
    net = model(lambda x: layers.conv(x, 4, 1, "conv", groups=2, bias=False), (1, 1, 1, 4))
    kernel = random(1, 1, 2, 4)
    net.get_layer("conv").set_weights([kernel])
    x = random(1, 2, 3, 4)
    expected = np.concatenate([x[..., :2] @ kernel[0, 0, :, :2], x[..., 2:] @ kernel[0, 0, :, 2:]], -1)
    np.testing.assert_allclose(net(x), expected, atol=1e-5)


def test_dilation_without_a_gradient_of_its_own(monkeypatch):
    x, layer = random(1, 8, 8, 2), convolution.Conv2D(3, 3, padding="same", dilation_rate=2)
    direct = layer(x)
    monkeypatch.setattr(convolution, "_differentiates_dilation", lambda dtype: False)
    np.testing.assert_allclose(layer(x), direct, atol=1e-5)


def test_depthwise_convolution():
    net = model(lambda x: layers.depthwise_conv(x, 3, "conv", stride=2, bias=False), (1, 1, 6, 2))
    kernel = np.zeros((3, 3, 2, 1), np.float32)
    kernel[1, :, 0, 0], kernel[1, 1, 1, 0] = (1, 10, 100), 1
    net.get_layer("conv").set_weights([kernel])
    x = np.repeat(row(1, 2, 3, 4, 5, 6), 2, -1)
    assert values(net(x)) == [210, 1, 432, 3, 654, 5]


@pytest.mark.parametrize(("output_padding", "expected"), [(0, [2, 130, 20]), (1, [2, 130, 20, 1000])])
def test_transposed_convolution(output_padding, expected):
    net = model(
        lambda x: layers.transposed_conv(x, 1, 3, "up", padding=1, output_padding=output_padding, bias=False),
        (1, 1, 2, 1),
    )
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, :, 0, 0] = (3, 2, 100)
    net.get_layer("up").set_weights([kernel])
    # Each pixel lays 3 2 100 down, two columns apart: 3 2 (100 + 30) 20 1000; the padding falls off.
    x = np.array([1, 10], np.float32).reshape(1, 1, 2, 1)
    assert values(net(x)[:, :1]) == expected


def test_transposed_convolution_refuses_what_no_crop_gives():
    with pytest.raises(ValueError, match="output_padding <= padding"):
        layers.transposed_conv(keras.Input((None, None, 1)), 1, 2, "up", output_padding=1)


def test_prelu():
    x = np.array([[[[-4.0, -8.0], [2.0, -2.0]]]], np.float32)
    one = model(lambda x: layers.prelu(x, "act", per_channel=False), x.shape)
    assert one.count_params() == 1
    assert values(one(x)) == [-1, -2, 2, -0.5]  # a quarter, as in PyTorch
    many = model(lambda x: layers.prelu(x, "act"), x.shape)
    many.get_layer("act").set_weights([np.array([0.5, 1.0]).reshape(1, 1, 2)])
    assert values(many(x)) == [-2, -8, 2, -2]


def test_spatial_dropout_drops_whole_channels():
    x = keras.Input((None, None, 64))
    assert layers.spatial_dropout(x, 0.0) is x
    y = np.asarray(keras.Model(x, layers.spatial_dropout(x, 0.5))(np.ones((2, 4, 4, 64)), training=True))
    assert set(np.unique(y)) == {0.0, 2.0}
    assert (y == y[:, :1, :1]).all()


@pytest.mark.parametrize(("size", "expected"), [(6, [-1, -1, -3]), (7, [-1, -1, -3, -6])])
def test_max_pool_never_takes_the_padding(size, expected):
    x = row(-2, -1, -4, -5, -3, -6, -7)[:, :, :size]
    net = model(lambda x: layers.max_pool(x, 3, 2, padding=1), x.shape)
    assert values(net(x)) == expected
    same = model(lambda x: layers.max_pool(x, 5, 1, padding=2), x.shape)
    assert values(same(row(-2, -1, -4, -5, -3, -6))) == [-1, -1, -1, -1, -3, -3]
    assert values(model(lambda x: layers.max_pool(x, 2), x.shape)(np.repeat(x, 2, 1))) == [-1, -4, -3]
    relu = model(lambda x: layers.max_pool(x, 3, 2, padding=1, nonnegative=True), x.shape)
    assert values(relu(np.maximum(x + 5, 0))) == np.maximum(np.array(expected) + 5, 0).tolist()


def test_pool_with_indices_and_unpool():
    x = np.array([[1, 5, 2, 2, 9], [3, 4, 2, 2, 9], [9, 9, 9, 9, 9]], np.float32).reshape(1, 3, 5, 1)
    pool = model(layers.max_pool_with_indices, x.shape)
    pooled, indices = pool(x)
    assert values(pooled) == [5, 2]  # ends fall off
    assert values(indices) == [1, 0]  # the first of equals
    unpool = model(lambda x, like: layers.max_unpool(*layers.max_pool_with_indices(x), like), x.shape, x.shape)
    assert unpool([x, x])[0, :, :, 0].numpy().tolist() == [[0, 5, 2, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_pooling_sends_the_gradient_to_the_taken_pixel():
    x = tf.Variable(np.array([[2, 2], [1, 2]], np.float32).reshape(1, 2, 2, 1))
    with tf.GradientTape() as tape:
        y = pooling.MaxPoolWithIndices()(x)[0]
    assert values(tape.gradient(y, x)) == [1, 0, 0, 0]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("align_corners", "before", "after"),
    [
        (False, [0, 4], [0, 1, 3, 4]),
        (True, [0, 3], [0, 1, 2, 3]),
        (False, [0, 1, 2, 3], [0.5, 2.5]),
        (True, [0, 1, 2, 3], [0, 3]),
        (True, [7, 3], [7]),
        (False, [5], [5, 5, 5]),
        (True, [5], [5, 5, 5]),
    ],
)
def test_resize(align_corners, before, after, training):
    x = np.tile(row(*before), (1, 3, 1, 1))
    like = np.zeros((1, 5, len(after), 1), np.float32)
    net = model(lambda x, like: layers.resize(x, like, align_corners=align_corners), x.shape, like.shape)
    y = np.asarray(net([x, like], training=training))
    np.testing.assert_allclose(y[..., 0], np.tile(np.array(after), (1, 5, 1)), atol=1e-6)
    rows = np.asarray(net([x.swapaxes(1, 2), like.swapaxes(1, 2)], training=training))
    np.testing.assert_allclose(rows.swapaxes(1, 2), y, atol=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
def test_resize_gives_the_same_in_training_and_inference(align_corners):
    x = random(2, 9, 11, 3)
    for options in ({"size": (33, 47)}, {"scale": 8}, {"size": (4, 5)}):
        layer = resizing.ResizeBilinear(align_corners, **options)
        expected = layer(x, training=False)
        np.testing.assert_allclose(layer(x, training=True), expected, atol=1e-5)
        assert layer(keras.Input((None, None, 3))).shape[1:3] == options.get("size", (None, None))
        under_xla = compiled(lambda x, layer=layer: layer(x, training=True))(x)
        np.testing.assert_allclose(under_xla, expected, atol=1e-5)


def test_resize_wants_one_target():
    x = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="one of like, size, scale"):
        layers.resize(x)
    with pytest.raises(ValueError, match="one of like, size, scale"):
        layers.resize(x, size=(2, 2), scale=2)


@pytest.mark.parametrize(
    ("center", "width", "expected"),
    [
        (False, 5, [1, 2, 3, 0, 0]),
        (True, 6, [0, 1, 2, 3, 0, 0]),  # the odd one at the end
        (False, 2, [1, 2]),
        (True, 1, [2]),
        (True, 3, [1, 2, 3]),
    ],
)
def test_fit(center, width, expected):
    x, like = row(1, 2, 3), row(*range(width))
    assert values(model(lambda x, like: layers.fit(x, like, center=center), x.shape, like.shape)([x, like])) == expected


def test_pad_to_multiple():
    net = model(lambda x: layers.pad_to_multiple(x, 4), (1, 1, 1, 1))
    assert values(net(row(1, 2, 3, 4, 5))[:, :1]) == [1, 2, 3, 4, 5, 0, 0, 0]
    assert net(random(1, 8, 5, 1)).shape == (1, 8, 8, 1)
    assert layers.pad_to_multiple(keras.Input((9, None, 3)), 4).shape == (None, 12, None, 3)


def unpooled(x):
    return pooling.MaxUnpool()([*pooling.MaxPoolWithIndices()(x), x])


def resized(x):
    return resizing.ResizeBilinear(scale=3)(x, training=True)


def fitted(x):
    return resizing.Fit(center=True)([x, tf.zeros((1, 4, 31, 1))])


@pytest.mark.parametrize("function", [unpooled, resized, fitted, pooling.MirrorPadding2D(1)])
def test_compiles_under_xla_with_its_gradient(function):
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            loss = tf.reduce_sum(y**2)
        return y, tape.gradient(loss, x)

    for shape in ((2, 9, 7, 3), (1, 8, 12, 3)):
        x = tf.constant(random(*shape))
        for under_xla, plain in zip(compiled(gradient)(x), gradient(x), strict=True):
            np.testing.assert_allclose(under_xla, plain, atol=1e-3, rtol=1e-4)
