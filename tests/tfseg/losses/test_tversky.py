import math

import numpy as np
import pytest

from tests.tfseg.losses import samples
from tests.tfseg.losses.samples import REGION_LABEL as LABEL
from tests.tfseg.losses.samples import REGION_LOGITS as LOGITS
from tests.tfseg.losses.samples import values
from tfseg.losses.tversky import tversky

# The mean over the present classes, summed over the two images with valid pixels.
CASES = [
    # alpha = 0.3, beta = 0.7: 1 - 0.75 / 1.075 = 13/43, 1 - 0.5 / 0.925 = 17/37 | 1 - 0.75 / 0.925 = 7/37
    ((LOGITS, LABEL), {}, ((13 / 43 + 17 / 37) / 2 + 7 / 37, 2)),
    # alpha = 1, beta = 0, one minus precision: 1 - 0.75 / 1.25 = 2/5, 1 - 0.5 / 0.75 = 1/3 | 0
    ((LOGITS, LABEL), {"alpha": 1, "beta": 0}, ((2 / 5 + 1 / 3) / 2, 2)),
]


def reference(logits, label):
    def loss(p, g):
        return 1 - p[g].sum() / (p[g].sum() + 0.3 * p[~g].sum() + 0.7 * (1 - p[g]).sum())

    return samples.mean_over_present(samples.valid_pixels(logits, label), loss)


def test_bounds():
    right = np.where(LABEL[..., None] == np.arange(2), 100, -100).astype("float32")
    assert values(tversky, right, LABEL) == [0, 2]
    assert values(tversky, -right, LABEL) == [2, 2]


def test_an_unknown_id_does_not_go_unnoticed():
    label = LABEL.copy()
    label[0, 0, 0] = 2
    assert math.isnan(values(tversky, LOGITS, label)[0])


def test_errors():
    with pytest.raises(ValueError, match="0 or more"):
        tversky(LOGITS, LABEL, alpha=-1)
