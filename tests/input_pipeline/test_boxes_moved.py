"""Boxes stay on their objects when the image moves: they must equal the box around the painted pixels of the object."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import boxes, ops

FILL = (0.0, 0.0, 0.0)


def example(size=(40, 60)):
    """Two boxes, and a label that paints their classes."""
    label = np.zeros(size, np.uint8)
    label[5:25, 10:30], label[20:38, 40:55] = 1, 2
    return {
        "image": tf.constant(np.repeat(label[..., None], 3, -1)),
        "label": tf.constant(label),
        "boxes": tf.constant([[10.0, 5, 30, 25], [40, 20, 55, 38]]),
        "box_classes": tf.constant([1, 2]),
    }


def painted(label, kind):
    """The box around the pixels of a class, None if there are none."""
    rows, columns = np.nonzero(label == kind)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None


def seeds(count):
    return [tf.constant([3, i], tf.int32) for i in range(count)]


@pytest.mark.parametrize("chain", ["", "affine(scale=(1.0, 1.0), flip=True)"])
def test_crop_and_flip_move_boxes_exactly_as_pixels(chain):
    augment, dropped = ops.build(chain, (24, 32), FILL), 0
    for seed in seeds(40):
        result = {k: v.numpy() for k, v in augment(example(), seed).items()}
        expected = {kind: painted(result["label"], kind) for kind in (1, 2)}
        found = dict(zip(result["box_classes"].tolist(), map(tuple, result["boxes"]), strict=True))
        dropped += 2 - len(found)
        assert found.keys() == {kind for kind, box in expected.items() if box}
        for kind, box in found.items():
            np.testing.assert_allclose(box, expected[kind], atol=1e-3)
    assert 0 < dropped < 40, "some crops leave nothing of a box"


def test_scaled_boxes_stay_on_their_pixels():
    augment = ops.build("affine(scale=(0.5, 2.0), flip=True)", (48, 64), FILL)
    for seed in seeds(20):
        result = {k: v.numpy() for k, v in augment(example(), seed).items()}
        for kind, box in zip(result["box_classes"], result["boxes"], strict=True):
            # The nearest pixel is painted: an edge is off by half a pixel of the image, at most one of the crop.
            np.testing.assert_allclose(box, painted(result["label"], kind), atol=1.0 + 1e-3)


def test_turned_boxes_are_around_their_corners():
    augment = ops.build("affine(scale=(1.0, 1.0), rotation=40, flip=True)", (90, 90), FILL)
    for seed in seeds(20):
        result = {k: v.numpy() for k, v in augment(example(), seed).items()}
        assert len(result["boxes"]) == 2, "the crop holds the whole image"
        for kind, box in zip(result["box_classes"], result["boxes"], strict=True):
            # A corner is a point; the pixels nearest to it are up to sqrt(2) away.
            np.testing.assert_allclose(box, painted(result["label"], kind), atol=1.5)


def test_a_quarter_turn_by_hand():
    # Pixel (x, y) of the result is pixel (y, 39 - x) of an image of 40 rows: the image turned clockwise by 90 degrees.
    transform = tf.constant([0.0, 1, 0, -1, 0, 39, 0, 0])
    moved = boxes.move(example(), transform, (60, 40))
    # Edge x of the result is 40 - y of the image, edge y is x: [10, 5, 30, 25] -> [40 - 25, 10, 40 - 5, 30].
    np.testing.assert_allclose(moved["boxes"], [[15, 10, 35, 30], [2, 40, 20, 55]], atol=1e-4)
    turned = np.rot90(example()["label"], -1)
    assert [painted(turned, kind) for kind in (1, 2)] == [(15, 10, 35, 30), (2, 40, 20, 55)]


@pytest.mark.parametrize("visible", [0.0, 0.5, 0.6])
def test_a_box_of_which_too_little_is_left_by_hand(visible):
    """A crop of the upper left 30 x 46 pixels cuts the second box to 6 of 15 columns and 10 of 18 rows: 22 % of it.

    A crop of 30 x 55 leaves 10 of 18 rows, 56 %. As instances the objects leave with their boxes.
    """
    transform = tf.constant([1.0, 0, 0, 0, 1, 0, 0, 0])
    for size, share in (((30, 46), 0.22), ((30, 55), 0.56)):
        moved = boxes.move(example(), transform, size, visible=visible)
        assert moved["box_classes"].numpy().tolist() == [1, 2][: 1 + (share >= visible)]
        hidden = boxes.without_hidden(example(), transform, size, visible)
        assert hidden["box_classes"].numpy().tolist() == [1, 2 if share >= visible else boxes.NONE]


def kept(label, found, classes, shown):
    given = {"label": tf.constant(label), "boxes": tf.constant(found, tf.float32), "box_classes": tf.constant(classes)}
    return tuple(v.numpy().tolist() for v in boxes.visible(given, tf.constant(shown)))


def test_boxes_of_hidden_objects_by_hand():
    """An object of class 1 in columns 10..29, rows 5..24; its box is drawn a pixel wider on the left than its pixels."""
    label, box = example()["label"].numpy(), [9.0, 5, 30, 25]
    shown = np.ones((40, 60), bool)
    assert kept(label, [box], [1], shown) == ([box], [1])
    shown[:, 20:] = False  # half of it is hidden: the right edge moves from 30 to 20, the others stay
    assert kept(label, [box], [1], shown) == ([[9, 5, 20, 25]], [1])
    shown[:10, :] = False
    assert kept(label, [box], [1], shown) == ([[9, 10, 20, 25]], [1])
    shown[12:14, 12:14] = False  # a hole moves no edge
    assert kept(label, [box], [1], shown) == ([[9, 10, 20, 25]], [1])
    shown[:, 10:30] = False  # the rest of the box shows something else
    assert kept(label, [box], [1], shown) == ([[0, 0, 0, 0]], [boxes.NONE])


def test_a_box_without_pixels_of_its_class_is_a_rectangle():
    label, shown = np.zeros((40, 60), np.uint8), np.ones((40, 60), bool)
    shown[:, :20] = False
    found, classes = kept(
        label, [[10.0, 5, 30, 25], [2, 2, 12, 12], [50, 30, 70, 60], [0, 0, 0, 0]], [7, 7, 7, boxes.NONE], shown
    )
    # The first is cut off at column 20, the second is hidden, the third ends at the image's edges, the last is padding.
    assert found == [[20, 5, 30, 25], [0, 0, 0, 0], [50, 30, 60, 40], [0, 0, 0, 0]]
    assert classes == [7, boxes.NONE, 7, boxes.NONE]
