"""Instances stay on their objects through every augmentation, are numbered again, and give the boxes."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import IGNORE, boxes, instances, ops
from tests.input_pipeline.ops import test_contract as contract


def test_what_is_left_is_numbered_again_by_hand():
    """Ids 1 and 3 are left in the first image: 3 becomes 2. In the second one only row 2 has an object, and 9 has no row."""
    ids = tf.constant([[[0, 3, 3], [1, 3, 0]], [[2, 9, 0], [2, 1, 0]]])
    found = instances.settle(ids, tf.constant([[7, 8, 9], [boxes.NONE, 5, 6]]))
    assert found["instances"].numpy().tolist() == [[[0, 2, 2], [1, 2, 0]], [[1, 0, 0], [1, 0, 0]]]
    assert found["box_classes"].numpy().tolist() == [[7, 9, -1], [5, -1, -1]]
    # x1, y1, x2, y2: the edges around the pixels.
    assert found["boxes"].numpy().tolist() == [[[0, 1, 1, 2], [1, 0, 3, 2], [0] * 4], [[0, 0, 1, 2], [0] * 4, [0] * 4]]
    one = instances.settle_example({"instances": ids[0], "box_classes": tf.constant([7, 8, 9]), "id": "a"})
    assert one["box_classes"].numpy().tolist() == [7, 9]
    assert one["boxes"].shape == (2, 4)
    assert one["id"] == "a"


def test_no_object_at_all():
    found = instances.settle(tf.zeros([2, 3, 4], tf.int32), tf.zeros([2, 0], tf.int32))
    assert not found["instances"].numpy().any()
    assert found["boxes"].shape == (2, 0, 4)


def test_the_ids_of_a_record_by_hand():
    """Object 40 has two pixels of class 1 and one of class 2, 7 is ignored everywhere; a PNG holds more than 255 ids."""
    ids = np.array([[0, 7, 40], [300, 40, 40]])
    label = np.array([[0, IGNORE, 1], [3, 2, 1]], np.uint8)
    found = instances.record(instances.dense(ids), label)
    assert instances.decode(found["instances"]).numpy().tolist() == [[0, 0, 1], [2, 1, 1]]
    assert found["boxes"].tolist() == [[1, 0, 3, 2], [0, 1, 1, 2]]
    assert found["box_classes"].tolist() == [1, 3]
    many = np.arange(1, 601).reshape(20, 30)
    found = instances.record(instances.dense(many), np.zeros((20, 30), np.uint8))
    np.testing.assert_array_equal(instances.decode(found["instances"]), many)
    with pytest.raises(ValueError, match=r"Expected instance ids \[height, width\]"):
        instances.dense(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="at most 65535 instances"):
        instances.dense(np.arange(70_000).reshape(700, 100))


def member(number):
    """Four touching objects of two classes of their own, painted in their own colours on class 0."""
    random, ids = np.random.default_rng(number), np.zeros((40, 60), np.int32)
    for k in range(4):
        top, left = random.integers(0, 25), 12 * k + random.integers(0, 4)
        ids[top : top + 15, left : left + 14] = k + 1
    classes = 1 + 2 * number + np.arange(4) % 2
    label = np.concatenate([[0], classes])[ids].astype(np.uint8)
    colors = np.concatenate([[0], 20 + 50 * np.arange(4)])[ids] + 5 * number
    found = {"image": np.repeat(colors[..., None], 3, -1).astype(np.uint8), "label": label, "instances": ids}
    return instances.settle_example(
        {k: tf.constant(v) for k, v in found.items()} | {"box_classes": tf.constant(classes)}
    )


@pytest.mark.parametrize("name", ["affine(rotation=10)", *contract.ACROSS])
def test_instances_and_boxes_follow_their_objects(name):
    """The label's class of an id is that of its row, rows are 1..n, boxes are around the ids, and the colours are theirs."""
    members, count = [member(i) for i in range(ops.GROUP)], 0
    across = name in contract.ACROSS
    for drawn in contract.groups(3):
        for result in contract.compiled(name, (36, 48))(contract.as_floats(members) if across else members, drawn):
            ids, classes = result["instances"], result["box_classes"]
            assert ids.dtype == np.int32
            left = int(np.sum(classes != boxes.NONE))
            assert np.all(classes[left:] == boxes.NONE)
            assert set(np.unique(ids)) - {0} == set(range(1, left + 1))
            np.testing.assert_array_equal(ids > 0, (result["label"] > 0) & (result["label"] != IGNORE))
            for k in range(left):
                assert np.all(result["label"][ids == k + 1] == classes[k])
                rows, columns = np.nonzero(ids == k + 1)
                expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                assert result["boxes"][k].tolist() == expected
                if across:  # colours are copied
                    assert np.ptp(result["image"][ids == k + 1]) == 0
            count += left
    assert count > 30
