"""What the parity files of HRNet do not show."""

import pytest

import models
from models import hrnet


def test_width_is_short_for_a_variant():
    assert hrnet.backbone_of(width=18) == hrnet.backbone_of(variant="w18") == "hrnet_w18"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hrnet(width=20)", "Expected variant: w18, w18_small_v2, .* Received: .*width=20"),
        ("hrnet(head='fcn')", "a head of HRNet.*concat, ocr"),
        ("hrnet(source='timm')", "Expected source 'authors' or 'mmseg'"),
    ],
)
def test_refuses(spec, message):
    with pytest.raises(ValueError, match=message):
        models.build(spec, 3)
