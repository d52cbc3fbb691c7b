import logging
import struct
import zlib

import numpy as np
import pytest

import input_pipeline
from input_pipeline.datasets import pascal_voc
from input_pipeline.source.class_tables import voc_color
from tests.input_pipeline import trees

MASK = np.array([[0, 15, 255, 20], [0, 2, 255, 20]], np.uint8)  # as VOC draws it: 255 is the border
SBD = np.array([[0, 15, 15, 20], [1, 2, 20, 20]], np.uint8)  # as SBD does: no border
IMAGE = np.full((2, 4, 3), 90, np.uint8)


def names(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def element(code, body):
    """One element of a MATLAB level 5 file: its code, its size, its bytes padded to a multiple of 8."""
    return struct.pack("<II", code, len(body)) + body + b"\0" * (-len(body) % 8)


def matrix(kind, shape, name, *parts):
    flags = element(6, struct.pack("<II", kind, 0))
    return element(14, flags + element(5, struct.pack("<2i", *shape)) + element(1, name) + b"".join(parts))


def mat(ids, compressed):
    """SBD's structure GTcls: a cell of sparse boundaries (here an empty one), the mask, the classes that are there."""
    boundaries = matrix(1, (0, 0), b"")
    segmentation = matrix(9, ids.shape, b"", element(2, ids.tobytes(order="F")))
    present = matrix(6, (1, 1), b"", element(9, struct.pack("<d", 15)))
    keys = b"".join(key.ljust(32, b"\0") for key in (b"Boundaries", b"Segmentation", b"CategoriesPresent"))
    width = struct.pack("<HHI", 5, 4, 32)  # a small element: its size and its number share eight bytes
    body = matrix(2, (1, 1), b"GTcls", width, element(1, keys), boundaries, segmentation, present)
    if compressed:
        packed = zlib.compress(body)
        body = struct.pack("<II", 15, len(packed)) + packed  # not padded
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + body


def fake_tree(root):
    """VOC with a, b to train on and c, d to validate; the images of SBD's e, f are there too."""
    for name in "abcdef":
        trees.save(root / f"JPEGImages/{name}.jpg", IMAGE)
    for name in "abcd":
        trees.save(root / f"SegmentationClass/{name}.png", MASK, palette=True)
    names(root / "ImageSets/Segmentation/train.txt", "a", "b")
    names(root / "ImageSets/Segmentation/val.txt", "c", "d")
    names(root / "ImageSets/Segmentation/trainval.txt", "a", "b", "c", "d")
    return "pascal_voc"


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "data/VOCdevkit/VOC2012"
    fake_tree(root)
    return root


def write_sbd(root, compressed=True):
    """SBD of b, c, e to train on and d, f to validate."""
    names(root / "train.txt", "b", "c", "e")
    names(root / "val.txt", "d", "f")
    (root / "cls").mkdir(parents=True)
    for name in "bcdef":
        (root / f"cls/{name}.mat").write_bytes(mat(SBD, compressed))


@pytest.mark.parametrize("data_dir", ["data", "data/VOCdevkit", "data/VOCdevkit/VOC2012"])
def test_the_masks_are_the_palettes_indices(data_dir, voc, tmp_path):
    for split, found in (("train", {"a", "b"}), ("val", {"c", "d"})):
        labels = trees.labels("pascal_voc", tmp_path / data_dir, tmp_path / "cache", split)
        assert labels.keys() == found
        for label in labels.values():
            np.testing.assert_array_equal(label, MASK)


def test_a_split_without_a_list_is_left_out(voc, tmp_path, caplog):
    (voc / "ImageSets/Segmentation/val.txt").unlink()
    with caplog.at_level(logging.INFO, "absl"):
        prepared = input_pipeline.prepare("pascal_voc", str(tmp_path / "data"), str(tmp_path / "cache"))
    assert prepared.splits == {"train": 2}
    assert "no val split" in caplog.text


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("folder", ["data/benchmark_RELEASE/dataset", "data"])
def test_sbd_adds_its_images_but_those_of_val(folder, compressed, voc, tmp_path):
    write_sbd(tmp_path / folder, compressed)
    labels = trees.labels("pascal_voc(sbd=True)", tmp_path / "data", tmp_path / "cache")
    # (VOC train {a, b}) and (SBD {b, c, d, e, f}), minus (VOC val {c, d}).
    assert labels.keys() == {"a", "b", "e", "f"}
    for name, mask in {"a": MASK, "b": MASK, "e": SBD, "f": SBD}.items():
        np.testing.assert_array_equal(labels[name], mask, err_msg=name)
    val = trees.labels("pascal_voc(sbd=True)", tmp_path / "data", tmp_path / "cache", "val")
    assert val.keys() == {"c", "d"}
    np.testing.assert_array_equal(val["c"], MASK)


def test_sbd_from_the_folder_that_others_make_of_it(voc, tmp_path):
    for name in "abcdef":
        trees.save(voc / f"SegmentationClassAug/{name}.png", SBD)
    labels = trees.labels("pascal_voc(sbd=True)", tmp_path / "data", tmp_path / "cache")
    assert labels.keys() == {"a", "b", "e", "f"}
    np.testing.assert_array_equal(labels["a"], MASK)
    np.testing.assert_array_equal(labels["e"], SBD)


def test_the_train_list_is_the_published_one_of_10582(tmp_path):
    published = trees.sample("voc_lists") / "VOCdevkit/VOC2012/ImageSets/Segmentation/train_aug.txt"
    train_aug = published.read_text().split()
    # The sizes are the real ones; which of the names are in which list is made up. SBD's 8498 + 2857 = 11355 are all but
    # 16 of train_aug (which VOC alone has) and 789 of the val split: 10582 - 16 + 789 = 11355.
    val = [f"val_{i:06}" for i in range(1449)]
    sbd = train_aug[16:] + val[:789]
    voc, release = tmp_path / "VOCdevkit/VOC2012", tmp_path / "benchmark_RELEASE/dataset"
    names(voc / "ImageSets/Segmentation/train.txt", *train_aug[:1464])
    names(voc / "ImageSets/Segmentation/val.txt", *val)
    names(release / "train.txt", *sbd[::-1][:8498])
    names(release / "val.txt", *sbd[::-1][8498:])
    (voc / "JPEGImages").mkdir()
    (release / "cls").mkdir()
    splits = pascal_voc.Builder(tmp_path, tmp_path / "cache", sbd=True).splits
    assert len(splits["train"]) == pascal_voc.TRAIN_WITH_SBD
    assert [e.id for e in splits["train"]] == sorted(train_aug)
    assert len(splits["val"]) == pascal_voc.SPLITS["val"]


def test_sbd_that_is_not_there(voc, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"benchmark_RELEASE.*which holds no SBD"):
        trees.labels("pascal_voc(sbd=True)", tmp_path / "data", tmp_path / "cache")
    write_sbd(tmp_path / "data/benchmark_RELEASE/dataset")
    (voc / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"val\.txt: images of the val split are in SBD too"):
        trees.labels("pascal_voc(sbd=True)", tmp_path / "data", tmp_path / "cache")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (mat(SBD, True)[:200], r"e\.mat.*Expected a whole MATLAB level 5 file"),
        (b"", r"e\.mat.*Expected a MATLAB level 5 file"),
        (mat(SBD, False).replace(b"Segmentation", b"segmentation"), r"e\.mat.*GTcls with Segmentation"),
        (mat(SBD[:1], True), r"e\.mat.*Expected the size of its image, 4 x 2 .*Received: 4 x 1"),
        (mat(SBD + 100, True), r"e\.mat.*Expected ids"),
    ],
    ids=["cut", "empty", "another structure", "another size", "unknown ids"],
)
def test_a_damaged_mask_of_sbd_is_named(content, message, voc, tmp_path):
    release = tmp_path / "data/benchmark_RELEASE/dataset"
    write_sbd(release)
    (release / "cls/e.mat").write_bytes(content)
    with pytest.raises(ValueError, match=f"(?s)1 of 4.*{message}"):
        trees.labels("pascal_voc(sbd=True)", tmp_path / "data", tmp_path / "cache")


def test_real_files(tmp_path):
    labels = trees.labels("pascal_voc", trees.sample("voc_fcn_demo"), tmp_path, "val")
    assert np.unique(labels["fcn_demo"]).tolist() == [0, 2, 15, 255], "ids, not the luminance of their colours"
    splits = [trees.labels("pascal_voc", trees.sample("voc_labelme"), tmp_path, s).keys() for s in ("train", "val")]
    assert splits == [{"2011_000003", "2011_000006"}, {"2011_000025"}]


def test_the_colours_are_by_vocs_rule():
    # Background is black; the rule spreads the bits of the index.
    assert [c.color for c in pascal_voc.CLASSES] == [voc_color(i) for i in range(21)]
    assert pascal_voc.IGNORED[0].color == voc_color(255)
    assert [c.raw for c in pascal_voc.CLASSES] == list(range(21))
    assert pascal_voc.CLASSES[15].name == "person"
