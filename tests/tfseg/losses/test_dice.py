import math

import numpy as np
import pytest

from tests.tfseg.losses import samples
from tests.tfseg.losses.samples import REGION_LABEL as LABEL
from tests.tfseg.losses.samples import REGION_LOGITS as LOGITS
from tests.tfseg.losses.samples import values
from tfseg.losses.dice import dice

# The mean over the present classes, summed over the two images with valid pixels.
CASES = [
    # 1 - 2 TP / (2 TP + FP + FN): 1 - 1.5 / 2.25 = 1/3, 1 - 1 / 1.75 = 3/7 | 1 - 1.5 / 1.75 = 1/7
    ((LOGITS, LABEL), {}, ((1 / 3 + 3 / 7) / 2 + 1 / 7, 2)),
    # 1 - (2 TP + 1) / (2 TP + FP + FN + 1): 1 - 2.5 / 3.25 = 3/13, 1 - 2 / 2.75 = 3/11 | 1 - 2.5 / 2.75 = 1/11
    ((LOGITS, LABEL), {"smooth": 1}, ((3 / 13 + 3 / 11) / 2 + 1 / 11, 2)),
]


def reference(logits, label):
    images = samples.valid_pixels(logits, label)
    return samples.mean_over_present(images, lambda p, g: 1 - 2 * (p * g).sum() / (p.sum() + g.sum()))


def test_bounds():
    right = np.where(LABEL[..., None] == np.arange(2), 100, -100).astype("float32")
    assert values(dice, right, LABEL) == [0, 2]
    assert values(dice, -right, LABEL) == [2, 2]


def test_an_unknown_id_does_not_go_unnoticed():
    label = LABEL.copy()
    label[0, 0, 0] = 2
    assert math.isnan(values(dice, LOGITS, label)[0])


def test_float32_suffices_for_a_large_image():
    """200 000 pixels against float64: sums over an image must not lose digits."""
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, (1, 400, 500)).astype("uint8")
    logits = rng.normal(size=(*label.shape, 3)).astype("float32")
    assert values(dice, logits, label)[0] == pytest.approx(reference(logits, label)[0], rel=1e-5)


def test_errors():
    with pytest.raises(ValueError, match="0 or more"):
        dice(LOGITS, LABEL, smooth=-1)
