"""segmentation_models_pytorch's forms: their encoders, and which entries of a checkpoint they leave out."""

import numpy as np
import pytest

import models
from models import _smp, backbones, weights
from tests import symbolic
from tests.parity import fill


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("resnet34", "resnet34"),
        ("efficientnet_b3", "efficientnet_b3_tf"),
        ("efficientnet_b3_tf", "efficientnet_b3_tf"),
        ("mobilenet_v2", "mobilenet_v2(last_convolution=True)"),
    ],
)
def test_the_encoder_of_a_backbone(backbone, expected):
    assert _smp.encoder(backbone) == expected
    backbones.weights(expected)  # ImageNet's are published for it


def test_the_backbone_of_a_network_is_the_encoder_that_published_weights_fill():
    model = symbolic.build('unet(backbone="mobilenet_v2", head="smp")', 3)
    assert model.backbone == "mobilenet_v2(last_convolution=True)"
    assert symbolic.build('unet(backbone="mobilenet_v2")', 3).backbone == "mobilenet_v2"


@pytest.mark.parametrize("name", ["pspnet_resnet18_smp", "unet_efficientnet_b0_smp"])
def test_entries_that_the_reference_does_not_run_are_left_out(name):
    parity = fill.read(fill.FOLDER / f"{name}.json.gz")
    state = dict.fromkeys((key for key, *_ in parity["state"]), np.float32(0))
    found, spare = weights.match(symbolic.build(parity["spec"], 12), state)
    assert parity["unused"]
    assert not spare
    assert all(value is not None for *_, value in found)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        # Stages 4 and 5 are dilated whole; the first 3x3 of a stage is no exception.
        (
            'deeplab_v3(backbone="resnet18", head="smp")',
            {"layer2.0.conv1": 1, "layer3.0.conv1": 2, "layer4.0.conv1": 4},
        ),
        ('deeplab_v3plus(backbone="resnet18", head="smp")', {"layer3.1.conv2": 1, "layer4.0.conv1": 2}),
        # The first block with the channels of c5 is the 12th of b0, but the fifth stage of its encoder begins with the tenth.
        (
            'deeplab_v3plus(backbone="efficientnet_b0", head="smp")',
            {f"tf._blocks.{i}._depthwise_conv": 1 if i < 9 else 2 for i in (8, 9, 10, 11, 15)},
        ),
        (
            'deeplab_v3plus(backbone="mobilenet_v2", head="smp")',
            {"features.13.conv.1.0": 1, "features.14.conv.1.0": 2, "features.17.conv.1.0": 2},
        ),
    ],
)
def test_whole_stages_are_dilated(spec, expected):
    model = symbolic.build(spec, 3)
    assert {name: model.get_layer(name).dilation_rate[0] for name in expected} == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ('unet(head="smp")', r"Expected a backbone with head=\"smp\", such as \"resnet34\"\. Received: backbone=''"),
        ('linknet(head="snp")', r"Expected head None or 'smp', .*Received: head='snp'"),
        ('pspnet(backbone="resnet18", head="smp", output_stride=16)', r"no output_stride .*output_stride=16"),
        ('upernet(backbone="resnet18", head="smp", width=512)', r"no width .*256 channels\. Received: width=512"),
        ('deeplab_v3(backbone="resnet18", head="smp", output_stride=32)', r"output_stride 8 or 16.*output_stride=32"),
    ],
)
def test_refuses(spec, message):
    with pytest.raises(ValueError, match=message):
        models.build(spec, 3)
