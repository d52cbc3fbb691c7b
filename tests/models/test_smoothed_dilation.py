"""Smoothed dilated convolutions: the paper's definition, the weights that they add to a network, and errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models import backbones, layers
from tests import symbolic
from tfseg import profile


def image(height, width, channels=3):
    return np.random.default_rng(0).standard_normal((2, height, width, channels)).astype(np.float32)


def built(kind, convolution, channels=3):
    inputs = keras.Input((None, None, channels))
    with layers.smoothed_dilation(kind):
        return keras.Model(inputs, convolution(inputs))


def correlate(x, kernel):
    """A 3x3 (or other odd) convolution with zeros around x: [H, W, C], [k, k, C, D] -> [H, W, D]."""
    margin = kernel.shape[0] // 2
    padded = np.pad(x, ((margin, margin), (margin, margin), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], axis=(0, 1))
    return np.einsum("hwcij,ijcd->hwd", windows, kernel)


@pytest.mark.parametrize("size", [(8, 12), (7, 11), (3, 5)])
@pytest.mark.parametrize("rate", [2, 3])
def test_group_interaction_is_a_sum_of_the_grids(rate, size):
    model = built("gi", lambda x: layers.conv(x, 4, 3, "a", dilation=rate))
    x, generator = image(*size), np.random.default_rng(1)
    mixing = generator.standard_normal((rate**2, rate**2)).astype(np.float32)
    model.get_layer("a.gi").set_weights([mixing])
    kernel, bias = model.get_layer("a").get_weights()
    bias = np.float32([1, 2, 3, 4])
    model.get_layer("a").set_weights([kernel, bias])
    height, width = (-(-n // rate) * rate for n in size)  # all grids are of one size
    for i in range(2):
        padded = np.pad(x[i], ((0, height - size[0]), (0, width - size[1]), (0, 0)))
        starts = [(r, s) for r in range(rate) for s in range(rate)]
        grids = [correlate(padded[r::rate, s::rate], kernel) for r, s in starts]
        expected = np.zeros((height, width, 4))
        for to, (r, s) in enumerate(starts):
            expected[r::rate, s::rate] = sum(mixing[source, to] * grid for source, grid in enumerate(grids)) + bias
        np.testing.assert_allclose(model(x)[i], expected[: size[0], : size[1]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rate", [2, 4])
def test_shared_convolution_is_one_kernel_for_all_channels(rate):
    model = built("ssc", lambda x: layers.conv(x, 4, 3, "a", dilation=rate, bias=False))
    x, size = image(9, 13), 2 * rate - 1
    difference = np.random.default_rng(1).standard_normal((size, size)).astype(np.float32)
    model.get_layer("a.ssc").set_weights([difference])
    shared = difference.copy()
    shared[rate - 1, rate - 1] += 1
    (kernel,) = model.get_layer("a").get_weights()
    spread = np.zeros((2 * rate + 1, 2 * rate + 1, 3, 4), np.float32)  # the dilated kernel with its holes
    spread[::rate, ::rate] = kernel
    for i in range(2):
        smooth = correlate(x[i], np.einsum("ij,cd->ijcd", shared, np.eye(3)))
        np.testing.assert_allclose(model(x)[i], correlate(smooth, spread), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["gi", "ssc"])
@pytest.mark.parametrize("padding", [None, 0, 1])
def test_starts_as_the_convolution_alone(kind, padding):
    def network(x):
        x = layers.conv(x, 6, 1, "a", dilation=1)
        x = layers.depthwise_conv(x, 3, "b", dilation=2, padding=padding)
        return layers.conv(x, 4, 3, "c", dilation=3, padding=padding, groups=2)

    plain, smoothed = built(None, network), built(kind, network)
    assert [layer.name for layer in smoothed.layers if layer.weights] == ["a", f"b.{kind}", "b", f"c.{kind}", "c"]
    _copy(plain, smoothed)
    x = image(17, 22)
    assert smoothed(x).shape == plain(x).shape
    np.testing.assert_allclose(smoothed(x), plain(x), rtol=1e-5, atol=1e-5)


def _copy(source, target):
    """The weights of the layers that both have."""
    for layer in source.layers:
        if layer.weights:
            target.get_layer(layer.name).set_weights(layer.get_weights())


# The dilated 3x3 of a ResNet-18 at 1/8: 2 in a block, of which the very first of each of the two stages keeps the dilation
# before it. Of rates 1, 2, 2, 2 and 2, 4, 4, 4 the sum of d^4 is 3 * 16 + 16 + 3 * 256, that of (2d - 1)^2 3 * 9 + 9 + 3 * 49.
# If the first is dilated like the others: 4 * 16 + 4 * 256 and 4 * 9 + 4 * 49.
KEPT, WHOLE = {"gi": 832, "ssc": 183}, {"gi": 1088, "ssc": 232}
NETWORKS = {
    'deeplab_v3(backbone="resnet18", output_stride=8)': KEPT,
    'deeplab_v3plus(backbone="resnet18", output_stride=8)': KEPT,
    'deeplab_v3plus(backbone="resnet18")': {"gi": 48, "ssc": 27},  # of rates 1, 2, 2, 2
    # Of MobileNetV2 at 1/16 the blocks 15, 16 and 17 have rate 2, and at 1/8 8 to 14 rate 2, 15 to 17 rate 4.
    'deeplab_v3plus(backbone="mobilenet_v2")': {"gi": 48, "ssc": 27},
    'deeplab_v3(backbone="mobilenet_v2", output_stride=8)': {"gi": 7 * 16 + 3 * 256, "ssc": 7 * 9 + 3 * 49},
    # Multi-grid multiplies those of the last stage, two blocks there, by 1 and 2: 2, 2, 4, 4.
    'deeplab_v3plus(backbone="resnet18", head="jfzhang95")': {"gi": 2 * 16 + 2 * 256, "ssc": 2 * 9 + 2 * 49},
    'deeplab_v1(backbone="vgg16")': {"gi": 3 * 16, "ssc": 3 * 9},  # conv5_1 to conv5_3
    'deeplab_v1(backbone="resnet18")': WHOLE,
    'deeplab_v2(backbone="resnet18")': WHOLE,
    'pspnet(backbone="resnet18_deep")': WHOLE,
    'psanet(backbone="resnet18_deep", mask=(5, 5))': WHOLE,
    'duc(backbone="resnet18", hdc=False)': WHOLE,
    # D-22: four convolutions of rate 2, four of rate 4 and one of rate 2.
    "drn": {"gi": 5 * 16 + 4 * 256, "ssc": 5 * 9 + 4 * 49},
}


def smoothed_spec(spec, kind):
    return f"{spec[:-1]}, smoothed_dilation={kind!r})" if spec.endswith(")") else f"{spec}(smoothed_dilation={kind!r})"


@pytest.mark.parametrize("kind", ["gi", "ssc"])
@pytest.mark.parametrize("spec", NETWORKS)
def test_adds_few_weights_to_a_network(spec, kind):
    plain, smoothed = (profile.parameters(symbolic.build(s, 12)) for s in (spec, smoothed_spec(spec, kind)))
    assert smoothed - plain == NETWORKS[spec][kind]


@pytest.mark.parametrize("kind", ["gi", "ssc"])
def test_a_network_starts_as_without(kind, tmp_path):
    """Its trained weights fit; the file of the smoothed network loads; every weight of it learns."""
    spec = 'deeplab_v3plus(backbone="mobilenet_v2", output_stride=8)'
    plain, smoothed = models.build(spec, 5), models.build(smoothed_spec(spec, kind), 5)
    _copy(plain, smoothed)
    x = np.random.default_rng(0).integers(0, 256, (1, 39, 61, 3)).astype(np.float32)
    expected = np.asarray(plain(x)["logits"])
    np.testing.assert_allclose(smoothed(x)["logits"], expected, rtol=1e-4, atol=1e-4 * expected.std())
    smoothed.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x)["logits"], expected, rtol=1e-4, atol=1e-4 * expected.std())
    labels = np.random.default_rng(1).integers(0, 5, (2, 32, 48))
    with tf.GradientTape() as tape:
        logits = smoothed(np.repeat(x[:, :32, :48], 2, axis=0), training=True)["logits"]
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    variables = [v for v in smoothed.trainable_variables if v.name == "fix_w"]
    assert len(variables) == 10
    assert all(np.any(g) for g in tape.gradient(loss, [v.value for v in variables]))


def test_counts_its_multiply_accumulates():
    """A 3x3 of rate 2 on 8x12 pixels and 3 channels: 4 grids at every value, or a kernel of 3x3."""
    for kind, each in (("gi", 4), ("ssc", 9)):
        inputs = keras.Input((8, 12, 3))
        with layers.smoothed_dilation(kind):
            model = keras.Model(inputs, layers.conv(inputs, 5, 3, "a", dilation=2))
        assert profile.multiply_accumulates(model) == 8 * 12 * (3 * each + 3 * 5 * 9)


def test_refuses_what_it_cannot_smooth():
    inputs = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match=r"smoothed_dilation 'gi', 'ssc' or None. Received: smoothed_dilation='gl'"):
        backbones.build("resnet18", inputs, 8, smoothed_dilation="gl")
    with pytest.raises(
        ValueError, match=r"a network with dilated convolutions. Received: smoothed_dilation='gi' of one"
    ):
        backbones.build("resnet18", inputs, 32, smoothed_dilation="gi")
    with pytest.raises(ValueError, match=r"square dilation.*dilation=\(1, 2\).*layer 'a'"):
        built("ssc", lambda x: layers.conv(x, 4, 3, "a", dilation=(1, 2)))
