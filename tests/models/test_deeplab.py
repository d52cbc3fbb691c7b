"""The four DeepLabs: options and errors, which the contract tests and the parity files cannot see."""

import keras
import numpy as np
import pytest

import models
from models import backbones, layers
from tests import symbolic


def dilations(model, prefix):
    """Those of the 3x3 convolutions whose names begin so, in their order."""
    return [
        layer.dilation_rate[0]
        for layer in model.layers
        if layer.name.startswith(prefix) and hasattr(layer, "dilation_rate") and layer.kernel_size == (3, 3)
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        # torchvision's: the first block of a dilated stage keeps the dilation before it.
        ('deeplab_v3(backbone="resnet50")', [1, 2, 2]),
        ('deeplab_v3(backbone="resnet50", output_stride=8)', [2, 4, 4]),
        # Multi-grid (1, 2, 4), of a stage that is dilated from its first block on.
        ('deeplab_v3(backbone="resnet50_caffe")', [2, 4, 8]),
        ('deeplab_v3(backbone="resnet50_caffe", output_stride=8)', [4, 8, 16]),
        ('deeplab_v3(backbone="resnet50", head="kazuto")', [2, 4, 8]),
        ('deeplab_v3plus(backbone="resnet50", head="jfzhang95")', [2, 4, 8]),
        ('deeplab_v3plus(backbone="resnet50_caffe", head="vainf")', [2, 2, 2]),
        ('deeplab_v3plus(backbone="resnet50(multi_grid=(1, 3))")', [1, 6, 6]),
        ('deeplab_v1(backbone="resnet50")', [4, 4, 4]),
        ('deeplab_v2(backbone="resnet50", output_stride=16)', [2, 2, 2]),
    ],
)
def test_dilations_of_the_last_stage(spec, expected):
    assert dilations(symbolic.build(spec, 5), "layer4") == expected


@pytest.mark.parametrize(
    ("spec", "layer", "expected"),
    [
        ('deeplab_v3(backbone="resnet18")', "classifier.classifier.0.convs", [6, 12, 18]),
        ('deeplab_v3(backbone="resnet18", output_stride=8)', "classifier.classifier.0.convs", [12, 24, 36]),
        ('deeplab_v3plus(backbone="resnet18", output_stride=8)', "classifier.aspp.convs", [12, 24, 36]),
        ('deeplab_v2(backbone="resnet18")', "aspp", [6, 12, 18, 24]),
        ('deeplab_v2(backbone="resnet18", output_stride=16)', "aspp", [3, 6, 9, 12]),
        ('deeplab_v2(backbone="vgg16")', "fc6", [6, 12, 18, 24]),
        ('deeplab_v1(backbone="vgg16")', "fc6", [12]),
        ('deeplab_v1(backbone="vgg16", output_stride=16)', "fc6", [6]),
        ('deeplab_v1(backbone="vgg16")', "features.24", [2]),  # conv5_1
        ('deeplab_v1(backbone="vgg16", output_stride=16)', "features.24", [1]),
    ],
)
def test_rates_of_the_head(spec, layer, expected):
    assert dilations(symbolic.build(spec, 5), layer) == expected


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        # Pools that round up: 64 -> 32 -> 17 -> 9, and 64 -> 33 -> 17 -> 9 of the VGG.
        ("deeplab_v1", (9, 13)),
        ("deeplab_v2", (9, 13)),
        ('deeplab_v1(backbone="vgg16", output_stride=16)', (5, 7)),
        ("deeplab_v3", (4, 6)),
        ('deeplab_v3(backbone="resnet18", output_stride=8)', (8, 12)),
        ("deeplab_v3plus", (64, 96)),  # its reference resizes to the image
    ],
)
def test_native_resolution(spec, size):
    model = symbolic.build(spec, 5, (64, 96, 3), native_resolution=True)
    assert model.output["logits"].shape == (None, *size, 5)


@pytest.mark.slow
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", ["deeplab_v3", "deeplab_v3plus"])
def test_every_backbone_that_can_stay(name, output_stride):
    """DeepLab works with every backbone that has the output stride; the others raise an error."""
    taken = []
    for family, backbone in {backbones.find(backbone)[1].__name__: backbone for backbone in backbones.names()}.items():
        spec = f'{name}(backbone="{backbone}", output_stride={output_stride})'
        if can_stay(backbone, output_stride):
            model = symbolic.build(spec, 5, (97, 129, 3))
            assert model.output["logits"].shape == (None, 97, 129, 5)
            taken.append(family.rpartition(".")[2])
        else:
            with pytest.raises(ValueError, match="output_stride"):
                symbolic.build(spec, 5)
    assert {"resnet", "mobilenet_v2", "xception65", "vgg", "densenet"} <= set(taken)


def can_stay(backbone, output_stride):
    try:
        with keras.StatelessScope(initialize_variables=False):
            backbones.build(backbone, keras.Input((97, 129, 3)), output_stride)
    except ValueError:
        return False
    return True


def test_the_mean_of_the_image_reaches_the_pyramid():
    """The branch of the mean alone, whose value is the same at every pixel."""
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, layers.aspp(inputs, (2, 3), "a", width=2, dropout=0.5))
    convolutions = {layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
    assert convolutions == {"a.convs.0.0", "a.convs.1.0", "a.convs.2.0", "a.convs.3.1", "a.project.0"}
    assert model.get_layer("a.project.0").kernel.shape == (1, 1, 8, 2)
    for layer in model.layers:
        if layer.name in ("a.convs.0.0", "a.convs.1.0", "a.convs.2.0"):
            layer.set_weights([np.zeros(w.shape) for w in layer.get_weights()])
    model.get_layer("a.convs.3.1").set_weights([np.ones((1, 1, 4, 2))])
    model.get_layer("a.project.0").set_weights([np.ones((1, 1, 8, 2))])
    x = np.abs(np.random.default_rng(0).standard_normal((1, 5, 6, 4))).astype(np.float32)
    # Two channels that each hold the sum of the four means, summed; batch norm divides by sqrt(1 + 1e-5) twice.
    expected = 2 * x.mean(axis=(1, 2)).sum() / (1 + 1e-5)
    np.testing.assert_allclose(model(x), np.full((1, 5, 6, 2), expected), rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("deeplab_v1(output_stride=4)", "output_stride 8 or 16. Received: output_stride=4"),
        ("deeplab_v2(output_stride=32)", "output_stride 8 or 16. Received: output_stride=32"),
        ("deeplab_v3(output_stride=32)", "output_stride 8 or 16. Received: output_stride=32"),
        (
            'deeplab_v3(head="jfzhang95")',
            "head 'transformers' or 'vainf' or 'torchvision' or 'kazuto' or 'smp'. Received: head='jfzhang95'",
        ),
        ('deeplab_v3plus(head="vanif")', "head 'vainf' or 'jfzhang95' or 'kazuto' or 'smp'. Received: head='vanif'"),
        ('deeplab_v3plus(backbone="drn_d_22")', "output_stride 8: a DRN"),
        ('deeplab_v3(backbone="resnet18(multi_grid=())")', r"multi_grid such as \(1, 2, 4\).*multi_grid=\(\)"),
        ('deeplab_v3(backbone="resnet18(multi_grid=(1, 0))")', r"multi_grid=\(1, 0\)"),
    ],
)
def test_refuses(spec, message):
    with pytest.raises(ValueError, match=message):
        models.build(spec, 5)
