import keras
import pytest

import models
from tests import symbolic


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        # 64 x 96 pixels in cells of 16; 5 * 2 + 3 channels. A last map at 1/8 is reduced, one at 1/32 enlarged beside c4.
        ("multitask", (None, 4, 6, 13)),
        ("multitask(model='fcn(backbone=\"resnet18\")')", (None, 4, 6, 13)),
        (
            "multitask(model='fcn(backbone=\"resnet18\")', detect='yolo_v1(boxes=1, stride=32, classes=2)')",
            (None, 2, 3, 7),
        ),
        ("multitask(detect='yolo_v1(stride=8)')", (None, 8, 12, 13)),
    ],
)
def test_cells(spec, shape):
    model = symbolic.build(spec, 3, (64, 96, 3))
    assert model.output["detection"].shape == shape
    assert model.output["logits"].shape == (None, 64, 96, 3)
    assert model.backbone in ("drn_a_18", "resnet18")


def test_maps_of_masks():
    """At 1/8, with 2 sides of 3 x 3 groups for 2 classes and the background; at 1/4. A last map at 1/32 is enlarged."""
    spec = "multitask(model='fcn(backbone=\"resnet18\")', detect='yolo_v1(classes=2)', masks='{}')"
    assert symbolic.build(spec.format("fcis(k=3)"), 3, (64, 96, 3)).output["inside_outside"].shape == (None, 8, 12, 54)
    found = symbolic.build(spec.format("transfer(width=6)"), 3, (64, 96, 3)).output
    assert found["mask_features"].shape == (None, 16, 24, 6)
    # Four 3x3 and a 2x2, with biases, and two kernels.
    assert found["mask_head"].shape == (None, 4 * (9 * 36 + 6) + 4 * 36 + 6 + 2 * 6)


def test_instances_has_what_the_network_inside_declares():
    model = symbolic.build("instances(model='pspnet(backbone=\"resnet18\")', dimensions=5)", 3, (64, 96, 3))
    inner = symbolic.build('pspnet(backbone="resnet18")', 3, (64, 96, 3))
    assert model.output["embedding"].shape == (None, 64, 96, 5)
    assert {name: y.shape for name, y in inner.output.items()}.items() <= {
        name: y.shape for name, y in model.output.items()
    }.items()
    for what in ("aux_weights", "aux_resolution", "renames", "aliases", "unused", "backbone"):
        assert getattr(model, what) == getattr(inner, what), what


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("multitask(model='enet')", "Expected a network with a backbone"),
        ("multitask(detect='yolo_v1(stride=12)')", "stride=8 or 16 or 32"),
        ("multitask(detect='yolo_v2')", "Did you mean 'yolo_v1'"),
        ("multitask(model='enett')", "Did you mean 'enet'"),
        ("instances(dimensions=0)", "Expected dimensions of 1 or more"),
        ("instances(model='classifier')", "Expected a network with logits of each pixel"),
    ],
)
def test_refuses(spec, message):
    keras.backend.clear_session()
    with pytest.raises(ValueError, match=message):
        models.build(spec, 3)
