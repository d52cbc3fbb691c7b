import math

import numpy as np

from tests.tfseg.losses import samples
from tests.tfseg.losses.samples import REGION_LABEL as LABEL
from tests.tfseg.losses.samples import REGION_LOGITS as LOGITS
from tests.tfseg.losses.samples import values
from tfseg.losses.jaccard import jaccard

# The mean over the present classes, summed over the two images with valid pixels.
CASES = [
    # 1 - TP / (TP + FP + FN): 1 - 0.75 / 1.5 = 1/2, 1 - 0.5 / 1.25 = 3/5 | 1 - 0.75 / 1 = 1/4
    ((LOGITS, LABEL), {}, ((1 / 2 + 3 / 5) / 2 + 1 / 4, 2)),
    # 1 - (TP + 1) / (TP + FP + FN + 1): 1 - 1.75 / 2.5 = 3/10, 1 - 1.5 / 2.25 = 1/3 | 1 - 1.75 / 2 = 1/8
    ((LOGITS, LABEL), {"smooth": 1}, ((3 / 10 + 1 / 3) / 2 + 1 / 8, 2)),
]
OPTIONS = [{"smooth": 1.0}]


def reference(logits, label, smooth):
    def loss(p, g):
        return 1 - (p[g].sum() + smooth) / (p.sum() + g.sum() - p[g].sum() + smooth)

    return samples.mean_over_present(samples.valid_pixels(logits, label), loss)


def test_bounds():
    right = np.where(LABEL[..., None] == np.arange(2), 100, -100).astype("float32")
    assert values(jaccard, right, LABEL) == [0, 2]
    assert values(jaccard, -right, LABEL) == [2, 2]


def test_an_unknown_id_does_not_go_unnoticed():
    label = LABEL.copy()
    label[0, 0, 0] = 2
    assert math.isnan(values(jaccard, LOGITS, label)[0])
