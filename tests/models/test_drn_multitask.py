import keras
import numpy as np
import pytest

import models
from models import weights
from tests.parity import fill, test_parity
from tests.tfseg.inference import reference

FILES = reference.files("drnsegmt_a_18_guanfuchen")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file["name"])
def test_both_outputs_are_those_of_the_reference(file):
    keras.backend.clear_session()
    model = models.build("drn_multitask", file["num_classes"], normalization=None, native_resolution=True)
    frozen = [
        v for layer in model.layers for v in getattr(layer, "non_trainable_variables", []) if "moving" not in v.name
    ]
    assert sum(np.prod(v.shape) for v in frozen) == file["frozen_params"]
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == file["trainable_params"]
    weights.load(model, fill.state_dict(file))
    outputs = {}
    for case in file["cases"]:
        size = case["h"], case["w"]
        if size not in outputs:
            outputs[size] = model(fill.image(case))
        name = "detection" if case["output"].startswith("detection") else "logits"
        test_parity.check(np.asarray(outputs[size][name]), case)


def test_statistics_of_the_trunk_move_and_its_scales_do_not():
    keras.backend.clear_session()
    model = models.build("drn_multitask", 3)
    norm = model.get_layer("bn1")
    before = norm.moving_mean.numpy()
    model(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.float32), training=True)
    assert np.any(norm.moving_mean.numpy() != before)
    trained = {id(v) for v in model.trainable_variables}
    assert id(norm.gamma) not in trained
    assert id(model.get_layer("bn_end").gamma) in trained
