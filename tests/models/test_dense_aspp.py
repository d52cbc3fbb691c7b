"""DenseASPP's options, and that published weights find their layers."""

import keras
import pytest

import models
from models import backbones
from tests import symbolic


@pytest.mark.parametrize("spec", ["dense_aspp(output_stride=32)", 'dense_aspp(backbone="resnet50")'])
def test_refuses(spec):
    with pytest.raises(
        ValueError, match=r"Expected output_stride 8 or 16|Expected a backbone of DenseASPP: densenet121"
    ):
        models.build(spec, 3)


@pytest.mark.parametrize(("output_stride", "size"), [(8, (4, 6)), (16, (2, 3))])
def test_output_stride(output_stride, size):
    """32 x 48 pixels are 4 x 6 eighths; at 1/16 the last features are brought to twice their size for the pyramid."""
    model = symbolic.build(f"dense_aspp(output_stride={output_stride})", 3, (32, 48, 3))
    assert model.get_layer("features.transition4.conv").output.shape[1:3] == size
    assert model.get_layer("ASPP_24.conv_2").output.shape == (None, 4, 6, 64)


def test_the_pyramid_puts_new_features_in_front():
    """512 channels, then five times 64: the first branch sees 512, the last 512 + 4 * 64 = 768, the classes 832."""
    model = symbolic.build("dense_aspp", 3, (32, 48, 3))
    assert model.get_layer("ASPP_3.conv_1").kernel.shape == (1, 1, 512, 128)
    assert model.get_layer("ASPP_24.conv_1").kernel.shape == (1, 1, 768, 128)
    assert model.get_layer("classification.1").kernel.shape == (1, 1, 832, 3)


@pytest.mark.parametrize("backbone", ["densenet121", "densenet161", "densenet169", "densenet201"])
def test_the_backbones_own_layers_are_there(backbone):
    """`--init_from=imagenet` copies them by name; the fourth transition's norm is torchvision's last."""
    model = symbolic.build(f'dense_aspp(backbone="{backbone}")', 3)
    with keras.StatelessScope(initialize_variables=False):
        inputs = keras.Input((None, None, 3))
        source = keras.Model(inputs, backbones.build(backbone, inputs))
    for layer in filter(lambda layer: layer.weights, source.layers):
        assert [v.shape for v in model.get_layer(layer.name).weights] == [v.shape for v in layer.weights], layer.name
