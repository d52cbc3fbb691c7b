import shutil

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline.datasets import ade20k
from input_pipeline.source import matlab
from tests.input_pipeline import trees

IDS = np.arange(152).clip(max=150).reshape(8, 19).astype(np.uint8)  # 0..150, as the masks hold them
LABEL = np.where(IDS == 0, 255, IDS - 1)


SHARED_COLORS = 2  # road and skyscraper, in color150.mat


def fake_tree(root):
    """Two images to train on and one to validate."""
    for split, name, ids in (
        ("training", "ADE_train_00000001", IDS),
        ("training", "ADE_train_00000002", IDS[::-1, :5]),
        ("validation", "ADE_val_00000001", IDS[:3]),
    ):
        trees.save(root / f"images/{split}/{name}.jpg", np.full((*ids.shape, 3), 77, np.uint8))
        trees.save(root / f"annotations/{split}/{name}.png", ids)
    (root / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n")
    return "ade20k"


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "data/ADEChallengeData2016"
    fake_tree(root)
    return root


@pytest.mark.parametrize("data_dir", ["data", "data/ADEChallengeData2016"])
def test_zero_is_ignored_and_the_classes_close_up(data_dir, tree, tmp_path):
    train, val = (trees.labels("ade20k", tmp_path / data_dir, tmp_path / "cache", s) for s in ("train", "val"))
    assert train.keys() == {"ADE_train_00000001", "ADE_train_00000002"}
    np.testing.assert_array_equal(train["ADE_train_00000001"], LABEL)
    np.testing.assert_array_equal(train["ADE_train_00000002"], LABEL[::-1, :5])
    np.testing.assert_array_equal(val["ADE_val_00000001"], LABEL[:3])


def test_gray_photos_come_as_rgb(tree, tmp_path):
    trees.save(tree / "images/training/ADE_train_00000001.jpg", np.full(IDS.shape, 77, np.uint8))
    image = trees.examples("ade20k", tree, tmp_path / "cache")["ADE_train_00000001"]["image"]
    np.testing.assert_array_equal(image, np.full((*IDS.shape, 3), 77))


def test_ids_beyond_the_table_are_refused(tree, tmp_path):
    trees.save(tree / "annotations/training/ADE_train_00000001.png", np.full(IDS.shape, 151, np.uint8))
    with pytest.raises(ValueError, match=r"ADE_train_00000001\.png: Expected ids .*Received: 151 on 152 pixels"):
        trees.labels("ade20k", tree, tmp_path / "cache")


@pytest.mark.parametrize(
    "path",
    [
        "images/training/a/abbey/ADE_train_00000970_seg.png",
        "ADE20K_2016_07_26/images/training/a/abbey/ADE_train_00000970_seg.png",
        "images/ADE/training/urban/street/ADE_train_00016869_seg.png",
        "ADE20K_2021_17_01/index_ade20k.pkl",
    ],
)
def test_the_full_ade20k_is_another_data_set(path, tmp_path):
    trees.save(tmp_path / "data" / path, np.zeros((2, 2, 3), np.uint8), format="PNG")
    with pytest.raises(ValueError, match=r"Scene Parsing Benchmark.*ADEChallengeData2016\.zip.*full ADE20K"):
        trees.labels("ade20k", tmp_path / "data", tmp_path / "cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"ADEChallengeData2016 with images.*holds none of it"):
        trees.labels("ade20k", tmp_path / "empty", tmp_path / "cache")


def test_a_mask_of_the_full_ade20k_among_the_others(tree, tmp_path):
    shutil.copy(
        trees.sample("ade20k_full_raw") / "ADE_train_00000970_seg.png",
        tree / "annotations/training/ADE_train_00000001.png",
    )
    with pytest.raises(ValueError, match=r"ADE_train_00000001\.png: Expected"):
        trees.labels("ade20k", tree, tmp_path / "cache")


def test_real_files(tmp_path):
    data = trees.sample("ade20k_sceneparsing")
    labels = trees.labels("ade20k", data, tmp_path, "val")
    assert labels.keys() == {f"ADE_val_0000000{i}" for i in (1, 2, 3)}
    for name, label in labels.items():
        ids = np.array(Image.open(data / f"ADEChallengeData2016/annotations/validation/{name}.png"))
        np.testing.assert_array_equal(label, np.where(ids == 0, 255, ids - 1.0))
        assert (ids == 0).any(), "else the test would not see what becomes of 0"
    prepared = input_pipeline.prepare("ade20k", str(data), str(tmp_path))
    assert prepared.num_classes == 150
    assert prepared.splits == {"val": 3}


def test_the_class_table():
    data = trees.sample("ade20k_sceneparsing")
    assert [c.raw for c in ade20k.CLASSES] == list(range(1, 151))
    rows = (data / "ADEChallengeData2016/objectInfo150.txt").read_text().splitlines()[1:]
    assert [c.name for c in ade20k.CLASSES] == [row.split("\t")[4].split(",")[0].strip() for row in rows]
    colors = matlab.read(data / "meta/color150.mat")["colors"]
    assert [list(c.color) for c in ade20k.CLASSES] == colors.tolist()
