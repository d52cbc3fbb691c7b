"""J and F by hand."""

import numpy as np
import pytest

from tfseg.tracking import scores


def square(top, left, side=6, shape=(30, 40)):
    mask = np.zeros(shape, np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_j_and_f_by_hand():
    everywhere = np.ones((30, 40), bool)
    # 6 x 6 moved by 3 columns: 18 pixels of both, 54 of one or the other.
    one, moved = square(5, 5) == 1, square(5, 8) == 1
    assert scores.region(one, moved, everywhere) == pytest.approx(18 / 54)
    # Tolerance: 0.008 * 50 = 0.4, rounded up to 1 pixel. Of the 20 pixels of an outline those in columns 8..10 of the upper and
    # lower row lie on the other outline, and those in column 7 beside it: 4 a row. The side in column 10 lies in the other
    # square, 2 or more from its side in column 8; but rows 6 and 9 of it are 1 from its upper and lower rows. So 2 * 4 + 2 = 10
    # of 20, and the reverse as many.
    assert scores.outline(one, moved, everywhere) == pytest.approx(0.5)
    nothing = np.zeros_like(one)
    assert scores.region(nothing, nothing, everywhere) == scores.outline(nothing, nothing, everywhere) == 1
    assert scores.region(one, nothing, everywhere) == scores.outline(one, nothing, everywhere) == 0
    ignored = everywhere & ~(moved & ~one)
    assert scores.region(moved, one & moved, ignored) == 1


def test_the_first_and_the_last_frame_do_not_count_and_objects_count_alike():
    first = square(5, 5) + 2 * square(20, 30)
    # In the second frame object 1 is right and object 2 is missing; in the third, 255 takes the missing one away.
    given = [first * 0, square(5, 5), square(5, 5), first * 0]
    true = [first, first, np.where(first == 2, 255, first), first]
    found = scores.of_sequence(given, true)
    assert found["objects"] == {1: {"J": 1.0, "F": 1.0}, 2: {"J": 0.5, "F": 0.5}}
    assert (found["J"], found["F"], found["J_and_F"]) == (0.75, 0.75, 0.75)
    assert scores.mean_of([found, {"J": 0.25, "F": 0.75}]) == {"J": 0.5, "F": 0.75, "J_and_F": 0.625}
    with pytest.raises(
        ValueError, match=r"and of one or more between the first and the last\. Received: 2 objects, and 0"
    ):
        scores.of_sequence(given[:2], true[:2])
