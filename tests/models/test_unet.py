"""U-Net on a backbone: segmentation_models_pytorch's decoder and names."""

import re

import keras
import numpy as np
import pytest

import models


def test_decoder_doubles_and_appends_the_skip_connection():
    model = models.build('unet(backbone="resnet18")', 3)
    (first, *_, last) = [layer for layer in model.layers if isinstance(layer, keras.layers.UpSampling2D)]
    tensors = {
        "c5": first.input,
        "c4": model.get_layer("layer4.0.downsample.0").input,
        "block": model.get_layer("decoder.blocks.0.conv1.0").input,
        "up": last.output,
        "last": model.get_layer("decoder.blocks.4.conv1.0").input,
    }
    image = np.random.default_rng(0).normal(size=(1, 70, 97, 3)).astype("float32")
    y = {name: np.asarray(value) for name, value in keras.Model(model.input, tensors)(image).items()}
    # Halves, rounded up: 70 x 97, 35 x 49, 18 x 25, 9 x 13, 5 x 7, 3 x 4. Each pixel twice gives 6 x 8, and 5 x 7 are kept.
    up = np.repeat(np.repeat(y["c5"], 2, axis=1), 2, axis=2)[:, :5, :7]
    np.testing.assert_array_equal(y["block"], np.concatenate([up, y["c4"]], axis=-1))
    # The last doubling, of 35 x 49, has no skip connection.
    assert y["up"].shape == (1, 70, 98, 32)
    np.testing.assert_array_equal(y["last"], y["up"][:, :, :97])


@pytest.mark.parametrize("backbone", ["resnet18", "vgg11"])
def test_names(backbone):
    model = models.build(f'unet(backbone="{backbone}")', 3)
    # Output and input channels of the 3x3 kernels. 512 channels come up from the backbone; its maps from 1/16 to 1/2 have
    # 256, 128, 64 and 64 channels in ResNet-18, 512, 512, 256 and 128 in VGG-11.
    skips = {"resnet18": (256, 128, 64, 64, 0), "vgg11": (512, 512, 256, 128, 0)}[backbone]
    below = (512, 256, 128, 64, 32)
    expected = {"segmentation_head.0": (3, 16)}
    if backbone == "vgg11":
        expected |= {"decoder.center.0.0": (512, 512), "decoder.center.1.0": (512, 512)}
    for i, filters in enumerate((256, 128, 64, 32, 16)):
        expected[f"decoder.blocks.{i}.conv1.0"] = (filters, below[i] + skips[i])
        expected[f"decoder.blocks.{i}.conv2.0"] = (filters, filters)
    found = {
        _renamed(layer.name, model): tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")
    }
    decoder = {key: shape[:1:-1] for key, shape in found.items() if not key.startswith("encoder.")}
    assert decoder == expected
    first = {"resnet18": "encoder.conv1", "vgg11": "encoder.features.0"}[backbone]
    assert found[first][2:] == (3, 64)


def _renamed(name, model):
    for pattern, replacement in model.renames:
        name = re.sub(pattern, replacement, name)
    return name


def test_refuses_options_of_the_network_without_a_backbone():
    with pytest.raises(ValueError, match=r"without a backbone.*width=32"):
        models.build('unet(width=32, backbone="resnet18")', 3)
