"""ERFNet's own parity file shows no values; another author's, of the same network with another epsilon, does."""

import numpy as np

import models
from models import erfnet, weights
from tests.parity import fill, test_parity


def test_pytorchcv(monkeypatch):
    monkeypatch.setattr(erfnet, "EPSILON", 1e-5)
    ours = fill.read(fill.FOLDER / "erfnet.json.gz")
    witness = fill.read(fill.FOLDER / "witnesses" / "erfnet_pytorchcv.json.gz")
    # Both register their modules in the order of execution, so their entries have the same order.
    keys = [(key, shape) for key, shape, _ in ours["state"] if key not in ours["unused"]]
    assert [shape for _, shape in keys] == [shape for _, shape, _ in witness["state"]]
    arrays = fill.state_dict(witness).values()
    model = models.build("erfnet", 12, normalization=None)
    weights.load(model, {key: array for (key, _), array in zip(keys, arrays, strict=True)})
    for case in witness["cases"]:
        test_parity.check(np.asarray(model(fill.image(case))["logits"]), case)


def test_the_authors_file_loads_with_the_classifier_of_its_encoder():
    parity = fill.read(fill.FOLDER / "erfnet.json.gz")
    state = fill.state_dict(parity)
    assert set(parity["unused"]) < set(state)
    model = models.build("erfnet", 12, (64, 64, 3))
    weights.load(model, state)  # refuses what is left over
    bias = model.get_layer("decoder.output_conv").bias
    np.testing.assert_array_equal(bias, state["decoder.output_conv.bias"])
