import math

import numpy as np
import pytest

from tfseg.losses.boundary_bce import boundary_bce

# One row of labels 0 0 0 1 1 and an ignored pixel: edges at columns 2 and 3. Two of the five valid pixels are in a band of 2,
# four (columns 1 to 4) in one of 4.
ROW = np.array([[[0, 0, 0, 1, 1, 255]]], "uint8")
ZEROS = np.zeros((1, 1, 6, 1), "float32")  # a probability of 1/2 everywhere
LOG3 = np.full((1, 1, 6, 1), math.log(3), "float32")  # 3/4: an edge costs log(4/3), another pixel log 4
CASES = [
    # (3/5 * 2 + 2/5 * 3) / 5 = 12/25 and (1/5 * 4 + 4/5 * 1) / 5 = 8/25
    ((ZEROS, ROW), {"width": 2}, (12 / 25 * math.log(2), 1)),
    ((ZEROS, ROW), {"width": 4}, (8 / 25 * math.log(2), 1)),
    ((LOG3, ROW), {"width": 2}, (6 / 25 * (math.log(4 / 3) + math.log(4)), 1)),
    # An image of one class has no edge.
    ((ZEROS, np.where(ROW == 255, 255, 0)), {}, (0, 1)),
]


@pytest.mark.parametrize("width", [0, 3])
def test_refuses_a_width_that_is_not_even(width):
    with pytest.raises(ValueError, match=f"Expected an even width of 2 or more pixels. Received: {width}"):
        boundary_bce(ZEROS, ROW, width=width)


def test_refuses_a_head_of_more_than_one_channel():
    with pytest.raises(ValueError, match="Expected one logit for each pixel of the label"):
        boundary_bce(np.zeros((1, 1, 6, 2), "float32"), ROW)
