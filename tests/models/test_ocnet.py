"""Parts that the contract tests cannot see: which position attends to which, and the options."""

import keras
import numpy as np
import pytest

import models
from models import ocnet
from tests import symbolic


def features(h, w, keys=3, values=2):
    generator = np.random.default_rng(0)
    return [generator.standard_normal((2, h, w, c)).astype("float32") for c in (keys, values)]


def attention(key, value):
    """The definition, position by position: means of values weighted by exp(key . key / sqrt(K))."""
    keys, values = (x.reshape(2, -1, x.shape[-1]) for x in (key, value))
    result = np.zeros(values.shape)
    for image in range(2):
        for i, query in enumerate(keys[image]):
            weights = np.exp(keys[image] @ query / np.sqrt(keys.shape[-1]))
            result[image, i] = weights @ values[image] / weights.sum()
    return result.reshape(value.shape)


def test_attend():
    key, value = features(3, 4)
    np.testing.assert_allclose(ocnet.attend(key, value), attention(key, value), rtol=1e-5, atol=1e-6)


def test_attend_to_positions_that_are_alike():
    """Keys of length 20 in two directions: equal pairs have 400 / sqrt(2), others 0, so equal ones have all the weight."""
    key = 20.0 * np.array([[[[1, 0], [0, 1], [1, 0], [0, 1]]]], "float32")
    value = np.array([[[[1], [5], [3], [9]]]], "float32")
    np.testing.assert_allclose(np.ravel(ocnet.attend(key, value)), [2, 7, 2, 7])


# 7 rows in 3 parts are 2, 2 and 3; 5 columns 1, 1 and 3. 2 rows in 3 parts are 0, 0 and 2: the last part takes all.
@pytest.mark.parametrize(
    ("size", "parts", "rows", "columns"),
    [
        ((7, 5), 1, [(0, 7)], [(0, 5)]),
        ((7, 5), 3, [(0, 2), (2, 4), (4, 7)], [(0, 1), (1, 2), (2, 5)]),
        ((2, 5), 3, [(0, 2)], [(0, 1), (1, 2), (2, 5)]),
    ],
)
def test_every_part_attends_to_itself(size, parts, rows, columns):
    key, value = features(*size)
    expected = np.zeros(value.shape)
    for top, bottom in rows:
        for left, right in columns:
            part = np.s_[:, top:bottom, left:right]
            expected[part] = attention(key[part], value[part])
    actual = ocnet.ObjectContext(parts)([key, value])
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_multiply_accumulates():
    """7 x 5 in 3 x 3 parts of 2, 2, 3 rows and 1, 1, 3 columns: pairs (4 + 4 + 9) * (1 + 1 + 9) = 187, each 3 + 2 channels."""
    layer = ocnet.ObjectContext(3)
    layer([keras.Input((7, 5, 3)), keras.Input((7, 5, 2))])
    assert layer.multiply_accumulates() == 187 * 5


def test_scale():
    """64 x 96 pixels are 9 x 13 eighths, of a pool that rounds up; half of them 4 x 6."""
    for spec, size in (("ocnet", (9, 13)), ("ocnet(scale=2)", (4, 6))):
        model = symbolic.build(spec, 3, (64, 96, 3))
        assert model.get_layer("context.2.stages.0.f_key.0").output.shape[1:3] == size


@pytest.mark.parametrize(
    "spec",
    ['ocnet(variant="bass")', 'ocnet(variant="pyramid", scale=2)', "ocnet(scale=0)", "ocnet(scale=0.5)"],
)
def test_refuses(spec):
    with pytest.raises(
        ValueError, match=r"Expected a variant of OCNet: base, pyramid, asp|Expected a whole scale from 1"
    ):
        models.build(spec, 3)
