"""GCN's options."""

import pytest

import models


def test_refuses_an_even_kernel():
    with pytest.raises(ValueError, match="kernel=8"):
        models.build("gcn(kernel=8)", 3)


def test_kernel():
    model = models.build("gcn(kernel=15)", 3)
    assert model.get_layer("gcn4.conv1_1").kernel.shape == (15, 1, 512, 3)
    assert model.get_layer("gcn4.conv1_2").kernel.shape == (1, 15, 3, 3)
