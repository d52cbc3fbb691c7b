"""Parts that the parity files do not cover: other scales, few classes, and activations that the reference does not use."""

import numpy as np
import pytest

import models
from models import weights
from tests import symbolic
from tests.parity import fill
from tfseg import profile


def test_refuses():
    with pytest.raises(
        ValueError, match=r"Expected a scale of espnet_v2: 0\.5, 1\.0, 1\.25, 1\.5, 2\.0\. Received: scale=3"
    ):
        models.build("espnet_v2(scale=3)", 5)


# At 1/16, the last maps: 128, 256, 320, 384 and 512 channels, a whole number in each of 4 branches.
@pytest.mark.parametrize(("scale", "channels"), [(0.5, 128), (1, 256), (1.25, 320), (1.5, 384), (2, 512)])
def test_scales(scale, channels):
    model = symbolic.build(f"espnet_v2(scale={scale})", 2)
    assert model.get_layer("base_net.level4.6.module_act").alpha.shape[-1] == channels
    assert model.get_layer("bu_dec_l1.projection_layer.cbr.0").filters == 1  # half of the classes


def test_parameters_of_twenty_classes():
    """789,242 in the authors' checkpoint; 96 + 128 + 256 slopes in it reach no output."""
    assert profile.parameters(symbolic.build("espnet_v2", 20)) == 789_242 - 480


def test_one_class():
    logits = models.build("espnet_v2(scale=0.5)", 1)(np.zeros((1, 33, 47, 3), np.float32))["logits"]
    assert logits.shape == (1, 33, 47, 1)
    assert np.isfinite(logits).all()


def test_weights_of_the_reference_hold_more_than_ours():
    """The activations of the three blocks that halve the resolution, which no output depends on; nothing else is ignored."""
    parity = fill.read(fill.FOLDER / "espnet_v2_s1.0.json.gz")
    state, model = fill.state_dict(parity), models.build("espnet_v2(scale=1.0)", 12)
    assert sorted(key for key in state if "_0.eesp.module_act" in key) == parity["unused"]
    weights.load(model, state)
    state["base_net.level3.9.module_act.weight"] = np.ones(16, np.float32)
    with pytest.raises(ValueError, match=r"1 keys without a variable: base_net\.level3\.9\.module_act\.weight"):
        weights.load(model, state)
