import math

import numpy as np
import pytest
import tensorflow as tf

from tfseg import detection, losses
from tfseg.losses.jaccard import jaccard
from tfseg.losses.yolo_v2 import yolo_v2

# Two cells of 8 pixels side by side, each with the anchors (1, 1) and (2, 2), of three classes. The first box of the first cell
# is 8 pixels wide and high around (4, 4); the others are small, and 0.5 sure: 0.25 each without an object.
SMALL = [0.5, 0.5, 0.1, 0.1, 0.5, 1.0, 0.0, 0.0]
FIRST = [0.5, 0.5, 0.5, 1.0, 0.8, 0.5, 0.25, 0.25]
CELLS = np.array([[[[FIRST, SMALL], [SMALL, SMALL]]]], np.float32)
TWICE = np.array([[[[FIRST, FIRST], [SMALL, SMALL]]]], np.float32)  # the second box, of the other anchor, is there too
IMAGE = np.zeros([1, 8, 16, 3], np.float32)
THREE = np.zeros([1, 1, 1, 3], np.float32)
BOX = np.array([[[0, 0, 8, 8]]], np.float32)
SURE, HALF = 5 * (1 - 0.8) ** 2, -math.log(0.5)  # the object's confidence, whose IoU is 1, and its class
CASES = [
    ((CELLS, BOX, [[0]], IMAGE, THREE), {}, (SURE + HALF + 3 * 0.25, 1)),
    ((CELLS, BOX, [[2]], IMAGE, THREE), {"obj": 0, "noobj": 2}, (-math.log(0.25) + 6 * 0.25, 1)),
    # A box that overlaps the object by 1 counts neither way, unless the limit is 1.
    ((TWICE, BOX, [[0]], IMAGE, THREE), {}, (SURE + HALF + 2 * 0.25, 1)),
    ((TWICE, BOX, [[0]], IMAGE, THREE), {"ignore": 1.0}, (SURE + HALF + 2 * 0.25 + 0.8**2, 1)),
    # 2 pixels to the right: x by a quarter of a cell, and the IoU is 6 / 10.
    ((CELLS, BOX + [2, 0, 2, 0], [[0]], IMAGE, THREE), {"coord": 3}, (3 / 16 + 5 * 0.2**2 + HALF + 0.75, 1)),
    # Half as wide: log 2, and an IoU of 1 / 2.
    ((CELLS, BOX + [2, 0, -2, 0], [[0]], IMAGE, THREE), {}, (math.log(2) ** 2 + 5 * 0.3**2 + HALF + 0.75, 1)),
    # 16 x 16 pixels have the shape of the second anchor, a small box: x is right, y too, the sides 10 times too small.
    (
        (CELLS, BOX * 2 - [4, 4, 4, 4], [[0]], IMAGE, THREE),
        {"noobj": 0},
        # 16 pixels are 1 of the width and 2 of the height; the IoU is .01 / 2.
        (math.log(10) ** 2 + math.log(20) ** 2 + 5 * (0.5 - 0.005) ** 2, 1),
    ),
    ((CELLS, BOX, [[-1]], IMAGE, THREE), {}, (0.8**2 + 3 * 0.25, 1)),
    ((CELLS, BOX, [[7]], IMAGE, THREE[..., :2]), {"classes": (9, 7, 8)}, (SURE - math.log(0.25) + 0.75, 1)),
    ((CELLS, BOX, [[0]], IMAGE, THREE[..., :2]), {"classes": (9, 7, 8)}, (0.8**2 + 3 * 0.25, 1)),
]  # fmt: skip


def drawn(seed=0):
    """Three images of 24 x 40 pixels in 3 x 5 cells, with up to six objects, some in one cell."""
    rng = np.random.default_rng(seed)
    cells = rng.random((3, 3, 5, 2, 8))
    cells[..., 2:4] = 0.05 + 0.5 * cells[..., 2:4]
    cells[..., 5:] /= cells[..., 5:].sum(-1, keepdims=True)
    low = rng.uniform(0, (24, 8), (3, 6, 2))
    boxes = np.concatenate([low, low + rng.uniform(2, 16, (3, 6, 2))], -1)
    cells[0, 1, 1, 0, :5] = (boxes[0, 0, 0] + boxes[0, 0, 2]) / 16 % 1, 0.5, 0.3, 0.4, 0.9
    kinds = rng.integers(-1, 3, (3, 6))
    kinds[2] = -1
    return cells, boxes, kinds.astype(np.int32), np.zeros([3, 24, 40, 3]), np.zeros([3, 1, 1, 3])


def reference(cells, boxes, kinds, image, logits, anchors, ignore):
    """(sum, count), object by object."""
    (images, rows, columns, count, _), total = cells.shape, 0.0
    size = np.array([image.shape[2], image.shape[1]] * 2)

    def overlap(a, b):
        shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
        return shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)

    for i in range(images):
        truth = [(box / size, kind) for box, kind in zip(boxes[i], kinds[i], strict=True) if kind >= 0]
        owners = {}
        for box, kind in sorted(truth, key=lambda t: -np.prod(t[0][2:] - t[0][:2])):
            column, row = (int((box[a] + box[a + 2]) / 2 * n) for a, n in ((0, columns), (1, rows)))
            wide, high = (box[2:] - box[:2]) * (columns, rows)
            shapes = [
                min(wide, w) * min(high, h) / (wide * high + w * h - min(wide, w) * min(high, h)) for w, h in anchors
            ]
            owners.setdefault((row, column, int(np.argmax(shapes))), (box, kind))
        for row, column, k in np.ndindex(rows, columns, count):
            x, y, w, h, sure, *chances = cells[i, row, column, k]
            middle = np.array([(column + x) / columns, (row + y) / rows])
            guess = np.concatenate([middle - np.array([w, h]) / 2, middle + np.array([w, h]) / 2])
            if (row, column, k) in owners:
                box, kind = owners[row, column, k]
                wanted = (box[:2] + box[2:]) / 2 * (columns, rows) - (column, row)
                total += np.sum((np.array([x, y]) - wanted) ** 2) + np.sum(
                    np.log(np.array([w, h]) / (box[2:] - box[:2])) ** 2
                )
                total += 5 * (sure - overlap(guess, box)) ** 2 - math.log(chances[kind])
            elif not any(overlap(guess, box) > ignore for box, _ in truth):
                total += sure**2
    return total, images


@pytest.mark.parametrize(("seed", "ignore"), [(0, 0.6), (1, 0.3)])
def test_values_are_those_of_loops(seed, ignore):
    given, anchors = drawn(seed), ((1.0, 1.0), (2.0, 1.5))
    total, count = yolo_v2(*map(tf.convert_to_tensor, given), anchors=anchors, ignore=ignore)
    assert (float(total), float(count)) == pytest.approx(reference(*given, anchors, ignore), rel=1e-6)


def test_images_add_up_and_xla_agrees():
    given = [x.astype(np.int32 if x.dtype == np.int32 else np.float32) for x in drawn()]
    whole = [float(x) for x in yolo_v2(*given)]
    parts = [yolo_v2(*(x[i : i + 1] for x in given)) for i in range(3)]
    assert [sum(float(p[k]) for p in parts) for k in range(2)] == pytest.approx(whole, rel=1e-5)
    compiled = tf.function(yolo_v2, jit_compile=True)(*map(tf.constant, given))
    np.testing.assert_allclose(compiled[0], whole[0], rtol=1e-5)


def test_no_gradient_passes_the_iou_and_all_gradients_are_finite():
    cells = tf.constant(CELLS)
    with tf.GradientTape() as tape:
        tape.watch(cells)
        total, _ = yolo_v2(cells, BOX + np.float32([2, 0, 2, 0]), [[0]], IMAGE, THREE, coord=0.0)
    assert tape.gradient(total, cells).numpy()[0, 0, 0, 0, :4].tolist() == [0, 0, 0, 0]
    empty = CELLS * np.float32([1, 1, 0, 0, 1, 0, 0, 0])
    cells = tf.constant(empty)
    with tf.GradientTape() as tape:
        tape.watch(cells)
        total, _ = yolo_v2(cells, BOX, [[0]], IMAGE, THREE)
    assert np.isfinite(total)
    assert np.isfinite(tape.gradient(total, cells)).all()
    none = yolo_v2(CELLS, np.zeros([1, 0, 4], np.float32), np.zeros([1, 0], np.int32), IMAGE, THREE)
    assert float(none[0]) == pytest.approx(0.8**2 + 0.75)


def test_an_image_without_a_mask_trains_its_boxes_alone():
    """Without the second image's mask one image less counts for the masks, and nothing else changes."""
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(2, 8, 16, 3)).astype(np.float32), rng.integers(0, 3, (2, 8, 16)).astype(np.uint8)
    without = label.copy()
    without[1] = 255
    alone = jaccard(logits[:1], label[:1])
    assert [float(x) for x in jaccard(logits, without)] == pytest.approx([float(alone[0]), 1])
    assert float(jaccard(logits, label)[1]) == 2
    (term,) = losses.build("yolo_v2")
    assert term.reads == ("detection", "boxes", "box_classes", "image", "logits")
    assert "label" not in term.reads


def test_boxes_are_decoded_with_the_classes_of_each_box():
    """Scores are confidence times probability: .8 x .5 and twice .8 x .25 of the first box, .5 x 1 of the small ones."""
    assert detection.fits(CELLS, 3)
    assert not detection.fits(CELLS, 2)
    found = detection.decode(CELLS, 3, threshold=0.3, overlap=0.5, most=10)
    assert int(found.count[0]) == 3, "two small ones of one cell are one"
    assert found.scores[0, :3].numpy().tolist() == pytest.approx([0.5, 0.5, 0.4])
    assert found.boxes[0, 2].numpy().tolist() == [0, 0, 0.5, 1]
    small = sorted(found.boxes[0, :2].numpy().tolist())
    np.testing.assert_allclose(small, [[0.2, 0.45, 0.3, 0.55], [0.7, 0.45, 0.8, 0.55]], rtol=1e-6)


def test_channels_and_options_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"2 anchors, 5 \+ 2 classes.*classes of its boxes"):
        yolo_v2(CELLS, BOX, [[0]], IMAGE, THREE[..., :2])
    with pytest.raises(ValueError, match=r"1 anchors, 5 \+ 3 classes"):
        yolo_v2(CELLS, BOX, [[0]], IMAGE, THREE, anchors=((1, 1),))
    with pytest.raises(ValueError, match=r"ignore of 0\.\.1"):
        yolo_v2(CELLS, BOX, [[0]], IMAGE, THREE, ignore=2.0)
