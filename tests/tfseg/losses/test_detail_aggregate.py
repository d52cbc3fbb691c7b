import math

import numpy as np

from tfseg.losses import detail_aggregate as module

# 0 0 1 1, an ignored pixel, 0. Column 2 is a detail, as its left neighbour has a smaller id; the ignored pixel makes none.
# Of every second column it is the only one again, so that the details are the columns 2 and 3.
ROW = np.array([[[0, 0, 1, 1, 255, 0]]], "uint8")
# 0 1 0: the detail is in the second column, which the second scale does not see.
THREE = np.array([[[0, 1, 0]]], "uint8")
CASES = [
    # Probability 1/2: log 2, and with 5 valid pixels 1 - (2 * 2/2 + 1) / (5/2 + 2 + 1) = 5/11.
    ((np.zeros((1, 1, 6, 1), "float32"), ROW), {}, (math.log(2) + 5 / 11, 1)),
    # Probability 3/4: (2 log 4 + log 4/3) / 3, and 1 - (2 * 3/4 + 1) / (9/4 + 1 + 1) = 7/17.
    (
        (np.full((1, 1, 3, 1), math.log(3), "float32"), THREE),
        {},
        ((2 * math.log(4) + math.log(4 / 3)) / 3 + 7 / 17, 1),
    ),
]


def test_two_scales_of_an_odd_size():
    """Ids by hand: a 2 within 1s has the larger id, at an odd row and column; a 3 in the corner, at an even one."""
    label = np.ones((1, 5, 5), "int32")
    label[0, 1, 1], label[0, 4, 4] = 2, 3
    expected = np.zeros((5, 5), bool)
    expected[1, 1] = expected[4, 4] = True  # the second scale's 2x2 of the corner is cut off to one pixel
    np.testing.assert_array_equal(module._target(label)[0], expected)
    label[0, 2, 0] = 7  # even row and column: the 2x2 below and right of it
    expected[2:4, 0:2] = True
    # The 2 stays a detail: the mean of its neighbours, (7 + 7 * 1) / 8, is below 2.
    np.testing.assert_array_equal(module._target(label)[0], expected)
