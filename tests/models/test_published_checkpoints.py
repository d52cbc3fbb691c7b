"""Checkpoints of the authors load by name with nothing left over, and give the outputs of the authors' networks."""

import json
import pathlib

import numpy as np
import pytest

import models
from models import weights
from tests.parity import fill, test_parity

FOLDER = pathlib.Path(__file__).parents[3] / "shared" / "weights"
SPECS = {
    "espnet_p_2_q_8": "espnet(p=2, q=8)",
    "espnet_p_2_q_8_camvid": "espnet(p=2, q=8, skip_channels=19)",
    "espnetv2_s_2.0_city_1024x512": "espnet_v2(scale=2.0)",
}


@pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/weights, which holds the checkpoints, is not there")
@pytest.mark.parametrize("name", SPECS)
def test_golden(name):
    golden = json.loads((FOLDER / f"{name}.golden.json").read_text())
    model = models.build(SPECS[name], golden["num_classes"], normalization=None)
    weights.load(model, weights.read(FOLDER / golden["checkpoint"]))  # refuses entries or variables that are left over
    for case in golden["cases"]:
        x = fill.image(case) * np.float32(golden["input_scale"])
        test_parity.check(np.asarray(model(x)["logits"]), case)
