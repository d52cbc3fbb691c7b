"""BiSeNet's parity file shows no values; another of the same authors' does, of the first auxiliary output."""

import numpy as np

import models
from models import weights
from tests.parity import fill, test_parity


def test_auxiliary_output():
    witness = fill.read(fill.FOLDER / "witnesses" / "bisenet_r18_coincheung_aux16.json.gz")
    model = models.build("bisenet(auxiliary=True)", witness["num_classes"], normalization=None)
    weights.load(model, fill.state_dict(witness))
    for case in witness["cases"]:
        test_parity.check(np.asarray(model(fill.image(case))["aux_0"]), case)


def test_auxiliary_heads_are_built_on_demand():
    assert models.build("bisenet", 3).aux_weights == {}
    model = models.build("bisenet(auxiliary=True)", 3)
    assert model.aux_weights == {"aux_0": 1.0, "aux_1": 1.0}
    # 33 x 47 is padded to 64 x 64; the heads' maps are resized to this and cropped like the logits.
    outputs = model(np.zeros((1, 33, 47, 3), "float32"))
    assert {name: y.shape for name, y in outputs.items()} == dict.fromkeys(("logits", "aux_0", "aux_1"), (1, 33, 47, 3))
