"""A fast form of the slow parity test: the order of the sub-pixels and the dilations of the blocks."""

import numpy as np
import pytest

import models
from models import duc


def test_classes_are_outermost():
    # Two classes at scale 2: channels 0..3 are the pixels of class 0, row by row, 4..7 those of class 1.
    shuffled = np.asarray(duc.PixelShuffle(2)(np.arange(16.0).reshape(1, 1, 2, 8)))
    assert shuffled[0, :, :, 0].tolist() == [[0, 1, 8, 9], [2, 3, 10, 11]]
    assert shuffled[0, :, :, 1].tolist() == [[4, 5, 12, 13], [6, 7, 14, 15]]


@pytest.mark.parametrize(("hdc", "expected"), [(True, [1, 2, 5, 9, 1, 2, 5, 9, 17]), (False, [2] * 6 + [4] * 3)])
def test_dilations(hdc, expected):
    model = models.build(f"duc(hdc={hdc})", 5)
    blocks = [f"layer3.{i}.conv2" for i in range(6)] + [f"layer4.{i}.conv2" for i in range(3)]
    assert [model.get_layer(name).dilation_rate[0] for name in blocks] == expected
