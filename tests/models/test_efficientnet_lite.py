"""EfficientNet-Lite: what its dilation computes, how it grows, and its published weights against PyTorch's outputs.

tests/reference/published_weights/efficientnet_lite.json.gz has the logits that PyPI's efficientnet-lite-pytorch 0.1.0, with
TensorFlow's padding at any size, gives with the published weights: {backbone: {"cases": as in a parity file}}.
"""

import gzip
import importlib.util
import json
import pathlib

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import models
from models import backbones
from models.backbones import efficientnet_lite
from tests.parity import fill
from tests.parity.test_parity import check
from tfseg import initialize

GOLDEN = pathlib.Path(__file__).parents[1] / "reference" / "published_weights" / "efficientnet_lite.json.gz"


def needs(backbone):
    """Skips a test if the package with the weights of a backbone is not installed."""
    weights = efficientnet_lite.WEIGHTS[backbone]
    if importlib.util.find_spec(weights.url.partition("/")[0]) is None:
        pytest.skip(f"{weights.package} is not installed: pip install '.[pretrained]'")


def features(output_stride=32):
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, backbones.build("efficientnet_lite0", inputs, output_stride))


# At odd sizes a stride takes pixels 0, 2, 4, .. of what the dilation keeps: 65 -> 33 -> 17 -> 9 -> 5 -> 3 rows. At even ones
# TensorFlow's padding begins one pixel later, at 1, 3, 5, ..: after two strides at 3, 7, 11, ..
@pytest.mark.parametrize(("height", "width", "even"), [(65, 97, False), (64, 96, True)])
@pytest.mark.parametrize(("output_stride", "step"), [(16, 2), (8, 4)])
def test_dilation_computes_the_strided_network(height, width, even, output_stride, step):
    keras.utils.set_random_seed(0)
    strided, dilated = features(), features(output_stride)
    dilated.set_weights(strided.get_weights())
    x = np.random.default_rng(0).standard_normal((1, height, width, 3)).astype(np.float32)
    expected, first = strided(x)["c5"], step - 1 if even else 0
    actual = dilated(x)["c5"][:, first::step, first::step]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.std(expected))


def test_what_the_variants_scale():
    """The repetitions of stages 2 to 6, and all channels except those of stem and head."""
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, backbones.classify("efficientnet_lite4", inputs, 7))
    blocks = {layer.name.split(".")[2] for layer in model.layers if layer.name.startswith("lite._blocks.")}
    # 1 + ceil(1.8 * (2, 2, 3, 3, 4)) + 1 = 1 + 4 + 4 + 6 + 6 + 8 + 1.
    assert len(blocks) == 30
    assert model.get_layer("lite._conv_stem").kernel.shape == (3, 3, 3, 32)
    assert model.get_layer("lite._conv_head").kernel.shape == (1, 1, 448, 1280)  # 1.4 * 320 = 448
    # 1.4 * (16, 24, 40, 112) = 22.4, 33.6, 56, 156.8 to the nearest multiple of 8.
    assert list(backbones.channels("efficientnet_lite4").values()) == [24, 32, 56, 160, 448]


@pytest.mark.parametrize("backbone", list(efficientnet_lite.WEIGHTS))
def test_published_weights_give_the_outputs_of_pytorch(backbone):
    needs(backbone)
    model = models.build(f"classifier(backbone={backbone!r})", 1000, weights="imagenet", normalization=None)
    cases = json.loads(gzip.decompress(GOLDEN.read_bytes()))[backbone]["cases"]
    assert cases
    for case in cases:
        check(np.asarray(model(fill.image(case))["logits"]), case)


@pytest.mark.parametrize("network", ["unet", "linknet", "pspnet"])
def test_networks_start_from_the_published_weights(network):
    needs("efficientnet_lite0")
    model = models.build(f'{network}(backbone="efficientnet_lite0")', 11, weights="imagenet")
    whole = models.build('classifier(backbone="efficientnet_lite0")', 1000, weights="imagenet")
    names = [layer.name for layer in features().layers if layer.weights]
    assert len(names) == 2 * 48  # the classifier's 49 convolutions and their norms, without the head's one
    for name in names:
        for ours, theirs in zip(model.get_layer(name).weights, whole.get_layer(name).weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    image = np.random.default_rng(0).integers(0, 256, (1, 75, 107, 3), np.uint8)
    assert model(image)["logits"].shape == (1, 75, 107, 11)
    # Pixels arrive as (x - 127) / 128: (255 - 127) / 128 = 1, (-1) / 128 and -127 / 128.
    pixels = model.get_layer("normalization")(np.array([[[[255.0, 126.0, 0.0]]]]))
    np.testing.assert_array_equal(pixels, [[[[1.0, -0.0078125, -0.9921875]]]])


def test_a_file_of_the_reference_starts_a_network(tmp_path):
    """By the reference's keys, which begin with an underscore; TensorFlow does not save such variables."""
    parity = fill.read(fill.FOLDER / "efficientnet_lite0.json.gz")
    state = fill.state_dict(parity)
    safetensors.numpy.save_file(state, tmp_path / "lite0.safetensors")
    model = models.build('linknet(backbone="efficientnet_lite0")', 11, (32, 32, 3))
    initialize.transfer(model, str(tmp_path / "lite0.safetensors"))
    kernel = state["_blocks.15._depthwise_conv.weight"]
    assert kernel.shape == (1152, 1, 3, 3)
    np.testing.assert_array_equal(
        model.get_layer("lite._blocks.15._depthwise_conv").get_weights()[0], kernel.transpose(2, 3, 0, 1)
    )
    model.export(tmp_path / "exported", verbose=False)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8).astype(np.float32)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.serve(image)["logits"], model(image)["logits"], rtol=1e-4, atol=1e-4)
