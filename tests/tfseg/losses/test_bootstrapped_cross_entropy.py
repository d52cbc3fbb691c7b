import math

import pytest
import tensorflow as tf

from tests.tfseg.losses import samples
from tests.tfseg.losses.samples import LABEL, LOGITS, minus_log, values
from tfseg.losses.bootstrapped_cross_entropy import bootstrapped_cross_entropy

CASES = [
    # mean of the 2 hardest: 0.5, 0.6 | 0.2, 0.9
    ((LOGITS, LABEL), {"pixels": 2}, (minus_log(0.5, 0.6) / 2 + minus_log(0.2, 0.9) / 2, 2)),
    # 3: 0.5, 0.6, 0.8 | only two are valid
    ((LOGITS, LABEL), {"pixels": 3}, (minus_log(0.5, 0.6, 0.8) / 3 + minus_log(0.2, 0.9) / 2, 2)),
    # more than there are: all
    ((LOGITS, LABEL), {"pixels": 16384}, (minus_log(0.5, 0.6, 0.8, 0.9) / 4 + minus_log(0.2, 0.9) / 2, 2)),
    # 2 hardest: 0.5 of label 1, 0.6 of label 0 | 0.2 of label 1, 0.9 of label 0
    (
        (LOGITS, LABEL),
        {"pixels": 2, "class_weights": samples.TWO_WEIGHTS},
        (
            (0.5 * minus_log(0.5) + 2 * minus_log(0.6)) / 2.5 + (0.5 * minus_log(0.2) + 2 * minus_log(0.9)) / 2.5,
            2,
        ),
    ),
]
OPTIONS = [{"pixels": 7}, {"pixels": 7, "class_weights": samples.WEIGHTS}]


def reference(logits, label, pixels, class_weights=(1, 1, 1)):
    losses = []
    for p, y in samples.valid_pixels(logits, label):
        hardest = sorted((q[c], class_weights[c]) for q, c in zip(p, y, strict=True))[:pixels]
        if hardest:
            losses.append(sum(-w * math.log(q) for q, w in hardest) / sum(w for _, w in hardest))
    return sum(losses), len(losses)


def test_selection_does_not_hide_nan():
    """At any position and with any sign, because some sorts put NaN first and some last."""
    compiled = tf.function(bootstrapped_cross_entropy, jit_compile=True)
    for nan in (math.nan, -math.nan):
        for x in range(4):
            logits = LOGITS.copy()
            logits[0, 0, x] = nan
            assert math.isnan(values(bootstrapped_cross_entropy, logits, LABEL, pixels=1)[0])
            assert math.isnan(values(compiled, logits, LABEL, pixels=1)[0])


def test_errors():
    with pytest.raises(ValueError, match="integer"):
        bootstrapped_cross_entropy(LOGITS, LABEL, pixels=0.25)
