import numpy as np
from PIL import Image

import input_pipeline
from input_pipeline.source import listing
from tests.input_pipeline import trees

# Ids of Cityscapes: the first and last of the 19 classes, two in between, and five that are no classes.
TRAIN_IDS = {7: 0, 8: 1, 26: 13, 28: 15, 31: 16, 33: 18, 0: 255, 4: 255, 9: 255, 29: 255, 30: 255, 255: 255}


def write(root, frames, ids):
    for kind, pixels in (("image_2", np.zeros((*ids.shape, 3), np.uint8)), ("semantic", ids)):
        for i in range(frames):
            trees.save(root / f"training/{kind}/{i:06}_10.png", pixels)
    trees.save(root / "testing/image_2/000000_10.png", np.zeros((2, 2, 3), np.uint8))  # test frames have no masks


def fake_tree(root):
    """Ten frames; two of them become val."""
    write(root, 10, np.array([list(TRAIN_IDS)] * 2, np.uint8))
    return "kitti"


def test_ids_are_those_of_cityscapes_and_a_fifth_is_val(tmp_path):
    write(tmp_path / "data", 10, np.array([list(TRAIN_IDS)] * 2, np.uint8))
    prepared = input_pipeline.prepare("kitti", str(tmp_path / "data"), str(tmp_path / "cache"))
    assert prepared.splits == {"train": 8, "val": 2}
    assert [c.name for c in prepared.classes][::6] == ["road", "traffic light", "rider", "bicycle"]
    for example in prepared.encoded("train").map(input_pipeline.decode).as_numpy_iterator():
        np.testing.assert_array_equal(example["label"], [list(TRAIN_IDS.values())] * 2)
    names = [listing.Example(f"{i:06}_10", None, None) for i in range(10)]
    expected = {split: {e.id for e in chosen} for split, chosen in listing.held_out(names, 0.2).items()}
    for split in ("train", "val"):
        assert {e["id"].decode() for e in prepared.encoded(split).as_numpy_iterator()} == expected[split]


def test_another_val_split(tmp_path):
    write(tmp_path / "data", 10, np.full((2, 2), 7, np.uint8))
    prepared = input_pipeline.prepare("kitti(val_fraction=0.0)", str(tmp_path / "data"), str(tmp_path / "cache"))
    assert prepared.splits == {"train": 10}


def test_a_real_mask_of_cityscapes(tmp_path):
    (folder,) = trees.sample("cityscapes_mmseg").glob("gtFine/val/*")
    raw, train_ids = (
        np.array(Image.open(next(folder.glob(f"*_{kind}.png")))) for kind in ("labelIds", "labelTrainIds")
    )
    write(tmp_path / "data", 1, raw)
    (label,) = trees.labels("kitti(val_fraction=0.0)", tmp_path / "data", tmp_path / "cache").values()
    # The two real files were scaled down one by one and differ on 77 of 32768 pixels themselves, at edges.
    assert np.sum(label != train_ids) == 77
