"""M3N21's own parity file shows no values; another author's, of nearly the same network, does."""

import numpy as np

import models
from models import weights
from tests.parity import fill, test_parity


def test_pytorchcv():
    ours = fill.read(fill.FOLDER / "cgnet_m3n21.json.gz")
    witness = fill.read(fill.FOLDER / "witnesses" / "cgnet_pytorchcv.json.gz")
    # Both register their modules in the order of execution, so their entries have the same order.
    assert [shape for _, shape, _ in ours["state"]] == [shape for _, shape, _ in witness["state"]]
    keys, arrays = [key for key, _, _ in ours["state"]], fill.state_dict(witness).values()
    state = dict(zip(keys, arrays, strict=True))
    for key, array in state.items():
        # The last concatenation has the two halves of 128 channels in the opposite order of the authors' network.
        if key.startswith("bn_prelu_3."):
            state[key] = np.roll(array, 128)
        elif key == "classifier.0.conv.weight":
            state[key] = np.roll(array, 128, axis=1)
    model = models.build(ours["spec"], 12, normalization=None)
    weights.load(model, state)
    for case in witness["cases"]:
        test_parity.check(np.asarray(model(fill.image(case))["logits"]), case)
