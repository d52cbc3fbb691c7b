"""RTSeg: all twelve networks, the study's table of operations, and the decoders' details."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models import layers, rtseg
from tests import symbolic
from tfseg import profile


def spec(encoder, decoder):
    return f'rtseg(encoder="{encoder}", decoder="{decoder}")'


def gflops(spec, classes=20, **options):
    """A multiply-accumulate is two operations. The authors' networks have 20 classes."""
    return 2e-9 * profile.multiply_accumulates(symbolic.build(spec, classes, (360, 640, 3), **options))


@pytest.mark.parametrize("decoder", rtseg.DECODERS)
@pytest.mark.parametrize("encoder", rtseg.ENCODERS)
def test_all_twelve_have_logits_of_the_size_of_the_image(encoder, decoder):
    model = symbolic.build(spec(encoder, decoder), 3, (33, 47, 3))
    assert model.output["logits"].shape == (None, 33, 47, 3)
    assert model.backbone == rtseg.ENCODERS[encoder]
    names = {layer.name for layer in model.layers}
    last = {"skipnet": "upscore8", "unet": "tp_conv2" if encoder == "resnet18" else "fscore", "dilation": "upscore8"}
    assert last[decoder] in names
    # The frontend keeps 1/8 of the resolution: 360 / 8 x 640 / 8.
    if decoder == "dilation":
        assert symbolic.build(spec(encoder, decoder), 3, (360, 640, 3)).get_layer("score_fr_dil").output.shape[1:3] == (
            45,
            80,
        )


# The authors' README, at 360x640, from TensorFlow's profiler. It counts biases, norms and sums too, which makes 6.22 of
# MobileNet's 6.138 and 2.17 of ShuffleSeg's 2.095. ShuffleSeg has 0.097 more than the authors', of the wider first units:
# 48.6 million multiply-accumulates.
@pytest.mark.parametrize(("encoder", "published", "ours"), [("shufflenet", 2.0, 2.0954), ("mobilenet", 6.2, 6.1377)])
def test_operations_are_those_of_the_study(encoder, published, ours):
    counted = gflops(spec(encoder, "skipnet"))
    assert counted == pytest.approx(ours, abs=0.0001)
    assert counted == pytest.approx(published, rel=0.05)


def test_shufflenet_needs_143_times_fewer_operations_than_segnet():
    """286.03 / 2.0. Ours is as large at 352x640, which needs no padding: 286.1 at 360x640."""
    segnet = 2e-9 * profile.multiply_accumulates(symbolic.build("segnet", 19, (352, 640, 3))) * 360 / 352
    assert segnet == pytest.approx(286.03, rel=0.001)
    assert segnet / gflops(spec("shufflenet", "skipnet"), 19) == pytest.approx(143, rel=0.02)


# At 360x640 the maps are 12x20, 23x40 and 45x80: of 1x1 kernels, and of the kernels that every pixel meets.
@pytest.mark.parametrize(
    ("encoder", "channels"),
    [("shufflenet", (960, 480, 240)), ("mobilenet", (1024, 512, 256)), ("resnet18", (512, 256, 128))],
)
def test_multiply_accumulates_of_skipnet(encoder, channels):
    n, pixels = 19, (12 * 20, 23 * 40, 45 * 80)
    expected = {
        **{
            name: p * c * n
            for name, p, c in zip(("score_fr", "score_feed1", "score_feed2"), pixels, channels, strict=True)
        },
        **{
            name: p * k * n * n
            for name, p, k in zip(("upscore2", "upscore4", "upscore8"), pixels, (16, 16, 256), strict=True)
        },
    }
    model = symbolic.build(spec(encoder, "skipnet"), n, (360, 640, 3))
    for name, macs in expected.items():
        layer = model.get_layer(name)
        size = (layer.input if name.startswith("up") else layer.output).shape[1:3]
        assert np.prod(size) * np.prod(layer.kernel.shape) == macs, name


@pytest.mark.parametrize(("scale", "size"), [(2, (9, 12)), (2, (10, 11)), (8, (33, 47)), (8, (40, 41))])
def test_upscore_is_tensorflows_transposed_convolution(scale, size):
    small = tuple(-(-n // scale) for n in size)
    inputs, like = keras.Input((*small, 3)), keras.Input((*size, 1))
    model = keras.Model([inputs, like], rtseg.upscore(inputs, scale, like, "up", filters=2))
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(2 * scale, 2 * scale, 2, 3)).astype("float32")
    model.get_layer("up").set_weights([kernel, np.zeros(2, "float32")])
    x = rng.normal(size=(1, *small, 3)).astype("float32")
    expected = tf.nn.conv2d_transpose(x, kernel, (1, *size, 2), scale, "SAME")
    np.testing.assert_allclose(model([x, np.zeros((1, *size, 1), "float32")]), expected, rtol=1e-5, atol=1e-5)


def test_before_training_upscore_is_bilinear():
    inputs, like = keras.Input((4, 4, 2)), keras.Input((8, 8, 1))
    model = keras.Model([inputs, like], rtseg.upscore(inputs, 2, like, "up"))
    kernel, bias = model.get_layer("up").get_weights()
    # A tent of 4: 0.25, 0.75, 0.75, 0.25 in each direction, of a channel to itself alone.
    np.testing.assert_allclose(kernel[1, :, 0, 0], 0.75 * np.array([0.25, 0.75, 0.75, 0.25]))
    np.testing.assert_allclose(kernel.sum(axis=(0, 1)), 4 * np.eye(2))
    assert not bias.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('encoder="vgg19"', r"encoder: vgg16, resnet18, mobilenet, shufflenet.*'vgg19'"),
        ('decoder="fcn"', r"decoder: skipnet, unet, dilation.*'fcn'"),
    ],
)
def test_refuses_other_names(options, message):
    with pytest.raises(ValueError, match=message):
        models.build(f"rtseg({options})", 3)


def test_xavier_counts_both_fans():
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 4))
    model = keras.Model(x, layers.conv(x, 32, 3, "y", initial=layers.xavier_uniform(bias=0.0)))
    kernel, bias = model.get_layer("y").get_weights()
    # sqrt(6 / (9 x 4 + 9 x 32)) = 0.13608.
    assert 0.98 * 0.13608 < np.abs(kernel).max() <= 0.13609
    assert not bias.any()
