import math

import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.losses import samples
from tests.tfseg.losses.samples import LABEL, LOGITS, minus_log, values
from tfseg.losses.ohem_cross_entropy import ohem_cross_entropy

# Options, and the probabilities of the pixels that are kept.
KEPT = [
    # below 0.7: 0.6, 0.5 | 0.2; 1/16 of 4 | 2 pixels is 1 | 1, which are among them
    ({}, (0.6, 0.5, 0.2)),
    # below 0.55: 0.5 | 0.2; at least 3/4 of 4 | 2, that is 3 | ceil(1.5) = 2
    ({"threshold": 0.55, "min_kept": 0.75}, (0.5, 0.6, 0.8, 0.2, 0.9)),
    # below 0.1: none; at least ceil(0.1 * 4) | ceil(0.1 * 2) = 1 | 1
    ({"threshold": 0.1, "min_kept": 0.1}, (0.5, 0.2)),
    # below 0.1 and nothing else: none
    ({"threshold": 0.1, "min_kept": 0.0}, ()),
    # top-k: half of 4 | 2 is 2 | 1
    ({"threshold": None, "min_kept": 0.5}, (0.5, 0.6, 0.2)),
    ({"threshold": None, "min_kept": 1.0}, (0.9, 0.8, 0.6, 0.5, 0.9, 0.2)),
    ({"threshold": 1.0}, (0.9, 0.8, 0.6, 0.5, 0.9, 0.2)),
]
CASES = [
    *(((LOGITS, LABEL), options, (minus_log(*kept), len(kept))) for options, kept in KEPT),
    # kept as in the first: 0.6 of label 0, 0.5 of label 1 | 0.2 of label 1
    (
        (LOGITS, LABEL),
        {"class_weights": samples.TWO_WEIGHTS},
        (2 * minus_log(0.6) + 0.5 * minus_log(0.5) + 0.5 * minus_log(0.2), 3),
    ),
    # five pixels of the same loss, log 2, count once: ceil(0.4 * 5) = 2 of them
    (
        (np.zeros((1, 1, 5, 2), "float32"), np.zeros((1, 1, 5), "uint8")),
        {"threshold": None, "min_kept": 0.4},
        (2 * math.log(2), 2),
    ),
]
OPTIONS = [
    {"threshold": 0.4, "min_kept": 0.25},
    {"threshold": 0.1, "min_kept": 0.5, "class_weights": samples.WEIGHTS},
    {"threshold": None, "min_kept": 0.25},
]


def reference(logits, label, threshold, min_kept, class_weights=(1, 1, 1)):
    kept = []
    for p, y in samples.valid_pixels(logits, label):
        pixels = sorted((q[c], class_weights[c]) for q, c in zip(p, y, strict=True))
        least = math.ceil(min_kept * len(pixels))
        kept += pixels[:least] + [x for x in pixels[least:] if x[0] < (threshold or 0)]
    return sum(-w * math.log(q) for q, w in kept), sum(w for _, w in kept)


@pytest.mark.parametrize("options", [{"min_kept": 0}, {"threshold": None}])
def test_selection_does_not_hide_nan(options):
    """At any position and with any sign, because some sorts put NaN first and some last."""
    compiled = tf.function(ohem_cross_entropy, jit_compile=True)
    for nan in (math.nan, -math.nan):
        for x in range(4):
            logits = LOGITS.copy()
            logits[0, 0, x] = nan
            assert math.isnan(values(ohem_cross_entropy, logits, LABEL, **options)[0])
            assert math.isnan(values(compiled, logits, LABEL, **options)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "threshold"),
        ({"min_kept": 100000}, "fraction"),
        ({"threshold": None, "min_kept": 0}, "keeps no pixel"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        ohem_cross_entropy(LOGITS, LABEL, **options)
