import numpy as np
import pytest
import tensorflow as tf

from tfseg.losses import _in_boxes
from tfseg.losses.fcis import _regions, fcis


def given(scores, rows, ids):
    """Maps of 2 x 2 groups with the same (outside, inside) of each class everywhere; boxes [[x1, y1, x2, y2, class], ..]."""
    rows, size = np.array(rows, np.float32).reshape(1, -1, 5), ids.shape[1:]
    maps = np.broadcast_to(np.repeat(np.ravel(scores), 4).astype(np.float32), (1, 4, 4, 8 * len(scores)))
    image, logits = np.zeros((1, *size, 3), np.float32), np.zeros((1, 1, 1, len(scores) - 1), np.float32)
    return maps, rows[..., :4], rows[..., 4].astype(np.int32), ids, image, logits


FULL, NONE = np.ones((1, 32, 32), np.int32), np.zeros((1, 32, 32), np.int32)
EQUAL, ABSENT = [[0, 0]] * 3, [[0, 0, 0, 0, -1]]
CASES = [
    # Equal scores of the background and two classes: log 3. No region is foreground.
    (given(EQUAL, ABSENT, NONE), {}, (np.log(3), 1)),
    # The scores of the classes are the larger of both sides: 2, 1, 0. All regions are background.
    (given([[2, 0], [0, 1], [0, 0]], ABSENT, NONE), {}, (np.log(np.exp(2) + np.e + 1) - 2, 1)),
    # An object as large as the image: every bin of every foreground region is inside, whose logit is 0 or 3 - 1.
    (given(EQUAL, [[0, 0, 32, 32, 1]], FULL), {}, (np.log(3) + np.log(2), 1)),
    (given([[3, 3], [3, 3], [1, 3]], [[0, 0, 32, 32, 1]], FULL), {"mask": 2.0}, (np.log(3) + 2 * np.log1p(np.exp(-2)), 1)),
    # An object without any pixel in its box: every bin is outside.
    (given([[3, 3], [3, 3], [1, 3]], [[0, 0, 32, 32, 1]], NONE), {}, (np.log(3) + np.log1p(np.exp(2)), 1)),
    # A class that the cells do not stand for is background.
    (given([[2, 0], [0, 1], [0, 0]], [[0, 0, 32, 32, 7]], FULL), {"classes": (4, 5)}, (np.log(np.exp(2) + np.e + 1) - 2, 1)),
]  # fmt: skip


def test_regions_lie_around_the_objects_in_turn():
    boxes = np.array([[[0, 0, 0, 0], [40, 20, 80, 60], [100, 50, 140, 110]], [[0, 0, 0, 0]] * 3], np.float32)
    found, there = _regions(
        tf.constant(boxes), tf.constant([[False, True, True], [False] * 3]), tf.constant([128.0, 192.0]), 64
    )
    found, there = found.numpy(), there.numpy()
    assert found.shape == (2, 64, 4)
    np.testing.assert_array_equal(found, np.round(found))
    # The first quarter are shifted by a fifth and scaled by e^.25 at most; the first is around the first object there is.
    middles = (found[0, :16, :2] + found[0, :16, 2:]) / 2
    assert (np.abs(middles[0::2] - [60, 40]) <= 0.2 * 40 + 1).all()
    assert (np.abs(middles[1::2] - [120, 80]) <= [0.2 * 40 + 1, 0.2 * 60 + 1]).all()
    assert there[0, :16].all()
    assert not there[1, :40].any()
    assert there[1, 40:].sum() > 20
    np.testing.assert_array_equal(found[0, 40:], found[1, 40:])


def test_the_share_of_an_object_by_hand():
    """A box of 4 x 2 pixels from 1, 1 in 2 x 2 cells: each is 2 pixels wide and 1 high. The object has the columns 2 and 3."""
    ids = np.zeros((1, 4, 6), np.int32)
    ids[:, :, 2:4] = 5
    share = _in_boxes.share_of_object(ids, tf.constant([[5]]), tf.constant([[[1.0, 1.0, 5.0, 3.0]]]), 2)
    assert share.numpy().tolist() == [[[[0.5, 0.5], [0.5, 0.5]]]]
    beyond = _in_boxes.share_of_object(
        np.full((1, 4, 6), 5), tf.constant([[5]]), tf.constant([[[-2.0, 0.0, 2.0, 8.0]]]), 2
    )
    assert beyond.numpy().tolist() == [[[[0, 1], [0, 0]]]]


def batch():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, 3, 4, 2 * 3 * 4)).astype(np.float32)
    boxes = np.float32([[[2, 2, 19, 18], [10, 1, 30, 14]], [[0, 3, 32, 21], [0, 0, 0, 0]]])
    classes, ids = np.array([[0, 1], [1, -1]], np.int32), rng.integers(0, 3, (2, 24, 32)).astype(np.int32)
    return maps, boxes, classes, ids, np.zeros((2, 24, 32, 3), np.float32), np.zeros((1, 1, 1, 2), np.float32)


def gradient(function, values):
    maps, *others = map(tf.convert_to_tensor, values)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        total, count = function(maps, *others, regions=16)
    return float(total), float(count), tape.gradient(total, maps).numpy()


def test_halves_sum_to_the_whole():
    values = batch()
    whole = gradient(fcis, values)
    halves = [gradient(fcis, [x[i : i + 1] if len(x) == 2 else x for x in values]) for i in range(2)]
    assert whole[:2] == pytest.approx([halves[0][0] + halves[1][0], 2], rel=1e-5)
    np.testing.assert_allclose(whole[2], np.concatenate([half[2] for half in halves]), rtol=1e-4, atol=1e-6)


def test_in_a_graph():
    values = batch()
    in_graph = tf.function(fcis, autograph=False)(*values, regions=16)
    np.testing.assert_allclose(in_graph, fcis(*values, regions=16), rtol=1e-6)


@pytest.mark.slow  # XLA compiles it for seconds
def test_xla_agrees():
    values = batch()
    compiled = tf.function(fcis, jit_compile=True)(*values, regions=16)
    np.testing.assert_allclose(compiled, fcis(*values, regions=16), rtol=1e-5)


def test_refuses():
    values = batch()
    with pytest.raises(ValueError, match="regions of 8 or more"):
        fcis(*values, regions=4)
    with pytest.raises(ValueError, match=r"2 \* 4 \* k \* k channels"):
        fcis(*values, classes=(1, 2, 3))
