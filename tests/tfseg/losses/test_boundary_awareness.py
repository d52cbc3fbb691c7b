import math

import numpy as np
import pytest

from tfseg.losses.boundary_awareness import boundary_awareness

# Two classes of equal logits cost log 2 a pixel. The head is sure (9/10) of the first, third and fourth, which is ignored.
LOGITS = np.zeros((1, 1, 4, 2), "float32")
LABEL = np.array([[[0, 1, 0, 255]]], "uint8")
HEAD = np.array([math.log(9), 0, math.log(9), math.log(9)], "float32").reshape(1, 1, 4, 1)
CASES = [
    ((LOGITS, HEAD, LABEL), {}, (2 * math.log(2), 2)),
    ((LOGITS, HEAD, LABEL), {"confidence": 0.4}, (3 * math.log(2), 3)),
    ((LOGITS, HEAD, LABEL), {"confidence": 0.95}, (0, 0)),
    # No pixel is hard, so that of the two only the fraction min_kept counts.
    ((LOGITS, HEAD, LABEL), {"threshold": 0.1, "min_kept": 0.5}, (math.log(2), 1)),
]


def test_refuses_a_confidence_that_is_no_probability():
    with pytest.raises(ValueError, match=r"Expected confidence, a probability, in 0\.\.1\. Received: 2"):
        boundary_awareness(LOGITS, HEAD, LABEL, confidence=2)
