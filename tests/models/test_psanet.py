"""PSANet: which attention belongs to which position, which the contract tests cannot see."""

import numpy as np
import pytest

from models import psanet


@pytest.mark.parametrize("distribute", [False, True])
@pytest.mark.parametrize(
    "mask", [(3, 5), (5, 9), (11, 3), (13, 15)]
)  # masks smaller than all pairs of 3 x 5, of the same size, and larger
def test_aggregation(mask, distribute):
    """Against the definition, pair by pair."""
    generator = np.random.default_rng(0)
    h, w, c = 3, 5, 4
    features = generator.standard_normal((2, h, w, c)).astype("float32")
    attention = generator.standard_normal((2, h, w, mask[0] * mask[1])).astype("float32")
    positions = [(i, j) for i in range(h) for j in range(w)]
    logits = np.zeros((2, h * w, h * w))  # of a position, to another
    for p, (i, j) in enumerate(positions):
        for q, (k, m) in enumerate(positions):
            a, b = k - i + mask[0] // 2, m - j + mask[1] // 2
            if 0 <= a < mask[0] and 0 <= b < mask[1]:
                logits[:, p, q] = attention[:, i, j, a * mask[1] + b]
    weights = np.exp(logits.transpose(0, 2, 1) if distribute else logits)
    weights /= weights.sum(axis=-1, keepdims=True)
    expected = (weights @ features.reshape(2, h * w, c)).reshape(features.shape)
    actual = psanet.Aggregation(mask, distribute)([features, attention])
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
