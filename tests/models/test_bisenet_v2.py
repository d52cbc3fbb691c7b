"""BiSeNet V2's parity file has no boosters; another of the same author's has, and shows the first one's output."""

import numpy as np

import models
from models import weights
from tests import symbolic
from tests.parity import fill, test_parity


def test_booster():
    witness = fill.read(fill.FOLDER / "witnesses" / "bisenet_v2_coincheung_aux2.json.gz")
    model = models.build("bisenet_v2(auxiliary=True)", witness["num_classes"], normalization=None)
    weights.load(model, fill.state_dict(witness))
    for case in witness["cases"]:
        test_parity.check(np.asarray(model(fill.image(case))["aux_0"]), case)


def test_boosters_are_built_on_demand():
    assert symbolic.build("bisenet_v2", 3).aux_weights == {}
    model = symbolic.build("bisenet_v2(auxiliary=True)", 3, (33, 47, 3))
    assert model.aux_weights == dict.fromkeys(["aux_0", "aux_1", "aux_2", "aux_3"], 1.0)
    assert all(y.shape == (None, 33, 47, 3) for y in model.output.values())


def test_blocks_start_as_their_shortcuts():
    """CoinCheung's init_weights: the scale of a block's last norm is 0, all others 1."""
    model = models.build("bisenet_v2", 3)
    starts = {layer.name: float(layer.gamma[0]) for layer in model.layers if hasattr(layer, "gamma")}
    zero = {name for name, start in starts.items() if start == 0}
    assert zero == {name for name in starts if name.startswith("segment.S") and name.endswith(".conv2.1")}
    assert len(zero) == 2 + 2 + 4
