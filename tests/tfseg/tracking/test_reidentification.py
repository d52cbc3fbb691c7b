"""Which part of the foreground is taken for a lost object, by features that are given."""

import types

import numpy as np

from tfseg.tracking import reidentification

SHAPE = (20, 30)


def place(top, left, height=4, width=4):
    mask = np.zeros(SHAPE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


class Features:
    """A network whose foreground is given, and whose features say in which half of the picture a mask lies."""

    def __init__(self, foreground):
        self.frames_seen, self.given = 0, foreground

    def foreground(self, frame):
        self.frames_seen += 1
        return self.given.astype(np.float32)

    def features(self, frame, masks):
        return np.array([[1.0, 0.0] if mask[:, :15].any() else [0.6, 0.8] for mask in masks])


def gallery(foreground, owned):
    """Object 1 is in the left half of the first frame, object 2 in the right; the second frame lacks 2."""
    track = types.SimpleNamespace(
        network=Features(foreground),
        frames=[None, None],
        first=place(2, 2) * 1 + place(2, 20) * 2,
        count=2,
        areas=np.array([16, 16]),
        seen=np.array([[True, True], [True, False]]),
        owners=lambda at: owned * 1,
    )
    return reidentification.Gallery(track, lambda: None)


def test_the_most_similar_part_that_overlaps_no_object():
    owned = place(2, 2)
    found = gallery(owned | place(10, 2) | place(10, 20) | place(18, 28, 1, 1), owned)
    at, object_, mask = found.best(0.5)
    # 1 and 0.6 for the right and the left part, to the template (0.6, 0.8); the single pixel is below a tenth of 16.
    assert (at, object_) == (1, 1)
    np.testing.assert_array_equal(mask, place(10, 20))
    found.best(0.5)
    assert found.track.network.frames_seen == 1, "the network looks at a frame once"


def test_what_is_left_beside_an_object_is_none():
    owned = place(10, 18, 4, 6)
    # A part of 8 x 6 pixels, of which the object has the half: what is left would look like object 2.
    assert gallery(place(10, 18, 8, 6), owned).best(0.5) is None
    assert gallery(np.zeros(SHAPE, bool), owned).best(0.5) is None
    assert gallery(place(2, 20), place(2, 2)).best(1.01) is None, "none is similar enough"
