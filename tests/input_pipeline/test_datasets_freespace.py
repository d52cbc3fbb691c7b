import numpy as np
import pytest

import input_pipeline
from input_pipeline import windows
from tests.input_pipeline import trees

MASKS = np.random.default_rng(0).integers(0, 2, (9, 4, 6)).astype(np.uint8)


def fake_tree(root):
    """Two clips of train, of five and three frames, and one of val."""
    clips = {"train/caoping": MASKS[:5], "train/road": MASKS[5:8], "val/road": MASKS[8:]}
    for clip, masks in clips.items():
        split, name = clip.split("/")
        for i, mask in enumerate(masks):
            trees.save(root / split / name / f"frame{i}.png", np.full((4, 6, 3), 90, np.uint8))
            trees.save(root / f"{split}annot" / name / f"frame{i}_mask.png", mask)
    return "freespace"


def prepare(tmp_path, spec):
    return input_pipeline.prepare(spec, str(tmp_path / "data"), str(tmp_path / "cache"))


def test_windows_end_with_their_clip_and_the_target_follows_them(tmp_path):
    fake_tree(tmp_path / "data")
    prepared = prepare(tmp_path, "freespace(sequence=2)")
    assert prepared.splits == {"train": 4}, (
        "three of the clip of five, one of that of three, none of val's single frame"
    )
    found = {r["id"].decode(): r for r in prepared.encoded("train").map(input_pipeline.decode).as_numpy_iterator()}
    number = {"caoping": 0, "road": 5}
    assert sorted(found) == ["caoping/frame2", "caoping/frame3", "caoping/frame4", "road/frame2"]
    for name, example in found.items():
        clip, frame = name.split("/frame")
        place = number[clip] + int(frame)
        np.testing.assert_array_equal(example["label"], MASKS[place])
        past = np.moveaxis(windows.unpack(example["image"], 2), -1, 0)
        np.testing.assert_array_equal(past, MASKS[place - 2 : place])


def test_images_without_a_window(tmp_path):
    fake_tree(tmp_path / "data")
    prepared = prepare(tmp_path, "freespace")
    assert (prepared.splits, prepared.steps) == ({"train": 8, "val": 1}, 0)


def test_another_value_is_refused(tmp_path):
    fake_tree(tmp_path / "data")
    trees.save(tmp_path / "data/trainannot/road/frame1_mask.png", MASKS[0] * 2)
    with pytest.raises(ValueError, match=r"frame1_mask\.png: Expected ids of the class table: 0, 1"):
        prepare(tmp_path, "freespace")
