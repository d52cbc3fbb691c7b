import numpy as np
import pytest

import input_pipeline
from input_pipeline.datasets import coco_stuff
from tests.input_pipeline import trees

# From the list of names: the last before a gap, the next one, the first and last of stuff; 255 is unlabelled.
TRAIN_IDS = {0: 0, 10: 10, 12: 11, 24: 23, 26: 24, 89: 79, 91: 80, 181: 170, 255: 255}


def write(root, ids):
    for split in ("train2017", "val2017"):
        trees.save(root / f"images/{split}/000000000139.jpg", np.zeros((*ids.shape, 3), np.uint8))
        trees.save(root / f"annotations/{split}/000000000139.png", ids, palette=True)


SHARED_COLORS = 17  # as OpenMMLab's table has them


def fake_tree(root):
    """An image of each split."""
    write(root, np.array([list(TRAIN_IDS)] * 2, np.uint8))
    return "coco_stuff"


def test_gaps_are_closed_and_palette_masks_read_as_ids(tmp_path):
    write(tmp_path / "data", np.array([list(TRAIN_IDS)] * 2, np.uint8))
    for split in ("train", "val"):
        found = trees.labels("coco_stuff", tmp_path / "data", tmp_path / "cache", split)
        assert found.keys() == {"000000000139"}
        np.testing.assert_array_equal(found["000000000139"], [list(TRAIN_IDS.values())] * 2)


def test_an_id_that_is_not_used_is_named(tmp_path):
    write(tmp_path / "data", np.full((2, 2), 11, np.uint8))  # street sign
    with pytest.raises(ValueError, match=r"000000000139\.png.*Received: 11 on 4 pixels"):
        input_pipeline.prepare("coco_stuff", str(tmp_path / "data"), str(tmp_path / "cache"))


def test_the_class_table():
    raw = {c.name: c.raw for c in coco_stuff.CLASSES}
    assert len(raw) == len(coco_stuff.CLASSES) == 171
    # Ids of nightrome/cocostuff, labels.txt, minus one; the 11 of COCO's 1..90 and 91 that are not drawn.
    absent = {i - 1 for i in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)}
    assert sorted(raw.values()) == sorted(set(range(182)) - absent)
    assert [c.raw for c in coco_stuff.CLASSES] == sorted(raw.values())
    known = {"person": 1, "stop sign": 13, "toothbrush": 90, "banner": 92, "door-stuff": 112, "tree": 169, "wood": 182}
    assert {name: raw[name] + 1 for name in known} == known
