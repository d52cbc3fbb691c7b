"""A part that the contract tests cannot see: how far images are padded."""

import numpy as np
import pytest

from models import layers


@pytest.mark.parametrize(("size", "padded"), [((33, 224), (224, 224)), ((225, 320), (256, 320))])
def test_pads_to_what_fc6_sees(size, padded):
    image = np.random.default_rng(0).standard_normal((1, *size, 3)).astype("float32")
    actual = np.asarray(layers.pad_to_multiple(image, 32, least=224))
    assert actual.shape == (1, *padded, 3)
    np.testing.assert_array_equal(actual[:, : size[0], : size[1]], image)
    assert not actual[:, size[0] :].any()
    assert not actual[:, :, size[1] :].any()
