import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline.datasets import nyuv2
from tests.input_pipeline import test_source_matlab as mat
from tests.input_pipeline import trees

COUNT, HEIGHT, WIDTH = 4, 5, 7
# Of five kinds of objects the fourth is class 40, the others 1, 22, 3 and 5; among the 13 those are wall 12, ceiling 3,
# furniture 6, chair 4, and 40 (other prop) is objects 7.
TO_40 = np.array([[1, 22, 3, 40, 5]], np.uint8)


def write_mat(root, count=COUNT, height=HEIGHT, width=WIDTH, labels=None):
    """Files as MATLAB writes them: HDF5 with the axes reversed, [image, channel, column, row]."""
    root.mkdir()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, height, width, 3), np.uint8)
    labels = rng.integers(0, 6, (count, height, width)).astype(np.uint16) if labels is None else labels
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = images.transpose(0, 3, 2, 1)
        file["labels"] = labels.transpose(0, 2, 1)
    train, test = np.array([[3], [1]], np.uint8), np.array([[4], [2]], np.uint8)  # counted from 1
    mat.write(root / "splits.mat", mat.array("trainNdxs", train, 2, 6), mat.array("testNdxs", test, 2, 6))
    mat.write(root / "classMapping40.mat", mat.array("mapClass", TO_40, 2, 6))
    return images, labels


def fake_tree(root):
    """The official files, of two images to train on and two to test."""
    write_mat(root)
    return "nyuv2"


@pytest.mark.parametrize(
    ("classes", "train_ids"), [(40, [255, 0, 21, 2, 39, 4]), (13, [255, 11, 2, 5, 6, 3])]
)  # of raw labels 0 to 5
def test_the_official_files(classes, train_ids, tmp_path):
    images, labels = write_mat(tmp_path / "data")
    for split, numbers in (("train", (1, 3)), ("test", (2, 4))):
        found = trees.examples(f"nyuv2(classes={classes})", tmp_path / "data", tmp_path / "cache", split)
        assert found.keys() == {f"{n:04}" for n in numbers}
        for n in numbers:
            np.testing.assert_array_equal(found[f"{n:04}"]["image"], images[n - 1])
            np.testing.assert_array_equal(found[f"{n:04}"]["label"], np.array(train_ids)[labels[n - 1]])


def test_the_white_frame_is_left_out_where_asked(tmp_path):
    images, labels = write_mat(tmp_path / "data", height=480, width=640)
    found = trees.examples("nyuv2(crop=True)", tmp_path / "data", tmp_path / "cache", "train")["0003"]
    # (45:471, 41:601) counted from 1 with the last: 427 rows from index 44, 561 columns from index 40.
    np.testing.assert_array_equal(found["image"], images[2, 44:471, 40:601])
    np.testing.assert_array_equal(found["label"] == 255, labels[2, 44:471, 40:601] == 0)
    assert found["label"].shape == (427, 561)


def test_labels_beyond_the_mapping_name_the_file_and_the_image(tmp_path):
    write_mat(tmp_path / "data", labels=np.full((COUNT, HEIGHT, WIDTH), 6, np.uint16))
    with pytest.raises(
        ValueError, match=r"nyu_depth_v2_labeled\.mat \(labels 3\): Expected labels 0 to 5\. Received: 6"
    ):
        input_pipeline.prepare("nyuv2", str(tmp_path / "data"), str(tmp_path / "cache"))


def h5_without_columns(path):
    with h5py.File(path, "a") as file:
        labels = file["labels"][..., 0]
        del file["labels"]
        file["labels"] = labels


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (lambda d: (d / "splits.mat").unlink(), FileNotFoundError, r"splits\.mat beside"),
        (lambda d: mat.write(d / "splits.mat", mat.array("x", np.ones((1, 1)), 9, 6)), ValueError, "trainNdxs"),
        (lambda d: (d / nyuv2.MAT).write_bytes(b"MATLAB 7.3"), ValueError, "official files"),
        (
            lambda d: mat.write(
                d / "splits.mat", *(mat.array(f"{s}Ndxs", np.array([[9.0]]), 9, 6) for s in ("train", "test"))
            ),
            ValueError,
            r"4 images in .*Received: 9 in .*splits\.mat",
        ),
        (lambda d: h5_without_columns(d / nyuv2.MAT), ValueError, r"Received: \[4, 3, 7, 5\] and \[4, 7\]"),
    ],
    ids=["no splits", "another file", "no HDF5", "other numbers", "other shapes"],
)
def test_files_that_do_not_belong_together_are_refused(harm, error, message, tmp_path):
    write_mat(tmp_path / "data")
    harm(tmp_path / "data")
    with pytest.raises(error, match=message):
        input_pipeline.prepare("nyuv2", str(tmp_path / "data"), str(tmp_path / "cache"))


def write_folders(root, numbers, shape=(480, 640)):
    for split, n in numbers:
        for folder, name, pixels in (
            (f"nyu_{split}_rgb", f"nyu_rgb_{n:04}", np.full((*shape, 3), n, np.uint8)),
            (f"nyuv2_{split}_class13", f"new_nyu_class13_{n:04}", np.full(shape, n, np.uint8)),
        ):
            trees.save(root / folder / f"{name}.png", pixels)


def test_the_unpacked_archives_are_matched_by_number(tmp_path):
    write_folders(tmp_path / "data", [("train", 3), ("train", 13), ("test", 1)], shape=(5, 6))
    train = trees.examples("nyuv2(classes=13)", tmp_path / "data", tmp_path / "cache", "train")
    assert {k: (v["image"][0, 0, 0], v["label"][0, 0]) for k, v in train.items()} == {"0003": (3, 2), "0013": (13, 12)}
    (tmp_path / "data/nyuv2_test_class13/new_nyu_class13_0001.png").unlink()
    with pytest.raises(ValueError, match=r"new_nyu_class13_0001\.png: Expected a file"):
        input_pipeline.prepare("nyuv2(classes=13, val_fraction=0.5)", str(tmp_path / "data"), str(tmp_path / "cache"))


def test_the_unpacked_archives_hold_13_classes_only(tmp_path):
    write_folders(tmp_path / "data", [("train", 3)], shape=(5, 6))
    with pytest.raises(ValueError, match=r"nyuv2\(classes=13\)"):
        input_pipeline.prepare("nyuv2", str(tmp_path / "data"), str(tmp_path / "cache"))


def test_real_labels(tmp_path):
    meta = trees.sample("nyuv2_meta")
    write_folders(tmp_path / "data", [("test", 1), ("test", 2)])
    for path in (meta / "test_labels_13").iterdir():
        shutil.copy(path, tmp_path / "data/nyuv2_test_class13")
    found = trees.examples("nyuv2(classes=13, crop=True)", tmp_path / "data", tmp_path / "cache", "test")
    for name, ids in (("0001", [2, 3, 4, 5, 6, 9, 11, 255]), ("0002", [2, 5, 6, 11, 255])):
        # Raw 0 3 4 5 6 7 10 12 and 0 3 6 7 12, measured elsewhere on the whole files; the frame has no other ids.
        raw = np.array(Image.open(meta / f"test_labels_13/new_nyu_class13_{name}.png"))
        assert np.unique(found[name]["label"]).tolist() == ids
        np.testing.assert_array_equal(
            found[name]["label"], (raw.astype(np.uint8) - 1)[44:471, 40:601]
        )  # 0 wraps to 255


def test_real_splits_and_mappings():
    meta = trees.sample("nyuv2_meta")
    splits = mat.matlab.read(meta / "splits.mat")
    train, test = (set(splits[f"{s}Ndxs"].ravel().tolist()) for s in ("train", "test"))
    assert (len(train), len(test)) == (795, 654)
    assert train | test == set(range(1, 1450))
    mapping = mat.matlab.read(meta / "classMapping40.mat")["mapClass"]
    assert mapping.shape == (1, 894)
    assert set(mapping.ravel().tolist()) == set(range(1, 41))
    to_13 = mat.matlab.read(meta / "class13Mapping.mat")["classMapping13"]["labels13"]
    np.testing.assert_array_equal(to_13, [nyuv2.TO_13])


def test_the_class_tables():
    for count, classes in nyuv2.CLASSES.items():
        assert [c.raw for c in classes] == list(range(1, count + 1))
        assert len({c.color for c in classes}) == len({c.name for c in classes}) == count
    assert len(nyuv2.TO_13) == 40
    # By name: wall, bed, chair, sofa, table, window, picture, ceiling, books, television of the 40.
    names = {c.name: nyuv2.CLASSES_13[nyuv2.TO_13[c.raw - 1] - 1].name for c in nyuv2.CLASSES[40]}
    for name in ("wall", "bed", "chair", "sofa", "table", "window", "picture", "ceiling", "books", "floor"):
        assert names[name] == name
    assert names["television"] == "tv"
    assert names["other prop"] == "objects"
