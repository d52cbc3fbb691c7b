"""The Label Refinement Network's outputs at every resolution."""

import numpy as np
import pytest

import models


def test_outputs():
    model = models.build("lrn", 3)
    assert model.aux_resolution == "output"
    assert model.aux_weights == {"aux_0": 1.0, "aux_1": 1.0, "aux_2": 1.0, "aux_3": 1.0, "aux_4": 1.0}
    outputs = model(np.zeros((1, 73, 105, 3), "float32"))
    # Five pools, each rounding down: 73 x 105, 36 x 52, 18 x 26, 9 x 13, 4 x 6, 2 x 3.
    assert {name: tuple(y.shape[1:3]) for name, y in outputs.items()} == {
        "aux_0": (2, 3),
        "aux_1": (4, 6),
        "aux_2": (9, 13),
        "aux_3": (18, 26),
        "aux_4": (36, 52),
        "logits": (73, 105),
    }


def test_refuses_other_backbones():
    with pytest.raises(ValueError, match=r"Expected a VGG.*resnet18"):
        models.build('lrn(backbone="resnet18")', 3)
