import logging
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline.datasets import cityscapes
from tests.input_pipeline import trees

# Raw id: train id, as in the benchmark's helpers; every other id is ignored, and 255 is the -1 of the license plate.
TRAIN_IDS = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14}
TRAIN_IDS |= {28: 15, 31: 16, 32: 17, 33: 18}
IDS = np.append(np.arange(34), (255, 7)).reshape(4, 9).astype(np.uint8)
LABEL = np.array([TRAIN_IDS.get(i, 255) for i in IDS.ravel().tolist()], np.uint8).reshape(IDS.shape)
IMAGE = np.full((4, 9, 3), 50, np.uint8)


def frame(root, split, name, kind="gtFine", ids=IDS, kinds=("labelIds", "labelTrainIds")):
    """A frame with all its files."""
    city = name.split("_")[0]
    trees.save(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", IMAGE)
    start = root / f"{kind}/{split}/{city}/{name}_{kind}"
    trees.save(start.with_name(f"{start.name}_color.png"), np.zeros((4, 9, 4), np.uint8))
    trees.save(start.with_name(f"{start.name}_instanceIds.png"), ids.astype(np.uint16) * 1000)
    start.with_name(f"{start.name}_polygons.json").write_text("{}")
    for ending in kinds:
        # Other train ids than in the ids' file, so that a test sees which of the two was read.
        trees.save(start.with_name(f"{start.name}_{ending}.png"), ids if ending == "labelIds" else LABEL[::-1])


def fake_tree(root):
    """Two frames to train on, one to validate, one to test, and two of the coarse ones."""
    frame(root, "train", "aachen_000000_000019")
    frame(root, "train", "krefeld_000000_000108", ids=IDS[::-1])
    frame(root, "val", "frankfurt_000000_000294")
    frame(root, "test", "berlin_000000_000019", ids=IDS * 0)
    for name in ("bad-honnef_000000_000000", "troisdorf_000000_000073"):
        frame(root, "train_extra", name, "gtCoarse", kinds=("labelIds",))
    return "cityscapes"


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "data"
    fake_tree(root)
    return root


def zip_tree(root, **options):
    """Packs the tree as the benchmark's archives are, and removes it."""
    for archive, top, splits in (
        ("leftImg8bit_trainvaltest", "leftImg8bit", ("train", "val", "test")),
        ("leftImg8bit_trainextra", "leftImg8bit", ("train_extra",)),
        ("gtFine_trainvaltest", "gtFine", ("train", "val", "test")),
        ("gtCoarse", "gtCoarse", ("train_extra",)),
    ):
        with zipfile.ZipFile(root / f"{archive}.zip", "w", **options) as file:
            file.writestr("license.txt", "")
            for split in splits:
                file.mkdir(f"{top}/{split}")
                for path in sorted((root / top / split).rglob("*.*")):
                    file.write(path, path.relative_to(root).as_posix())
    for top in ("leftImg8bit", "gtFine", "gtCoarse"):
        shutil.rmtree(root / top)


@pytest.mark.parametrize("zipped", [False, True], ids=["folders", "archives"])
def test_label_ids_become_train_ids(zipped, tree, tmp_path):
    if zipped:
        zip_tree(tree)
    train, val = (trees.examples("cityscapes", tree, tmp_path / "cache", split) for split in ("train", "val"))
    assert train.keys() == {"aachen/aachen_000000_000019", "krefeld/krefeld_000000_000108"}
    np.testing.assert_array_equal(train["aachen/aachen_000000_000019"]["label"], LABEL)
    np.testing.assert_array_equal(train["krefeld/krefeld_000000_000108"]["label"], LABEL[::-1])
    np.testing.assert_array_equal(train["krefeld/krefeld_000000_000108"]["image"], IMAGE)
    assert val.keys() == {"frankfurt/frankfurt_000000_000294"}


def test_a_tree_with_train_ids_only(tree, tmp_path):
    for path in tree.rglob("*_labelIds.png"):
        path.unlink()
    labels = trees.labels("cityscapes", tree, tmp_path / "cache")
    assert len(labels) == 2
    for label in labels.values():
        np.testing.assert_array_equal(label, LABEL[::-1])
    path = tree / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelTrainIds.png"
    trees.save(path, np.full((4, 9), 33, np.uint8))
    with pytest.raises(ValueError, match=r"labelTrainIds\.png: Expected ids .*17, 18, 255\. Received: 33 on 36"):
        trees.labels("cityscapes", tree, tmp_path / "cache")


def test_the_test_split_is_left_out(tree, tmp_path):
    prepared = input_pipeline.prepare("cityscapes", str(tree), str(tmp_path / "cache"))
    assert prepared.splits == {"train": 2, "val": 1}


@pytest.mark.parametrize("zipped", [False, True], ids=["folders", "archives"])
@pytest.mark.parametrize(
    ("train", "names"),
    [
        ("coarse", {"bad-honnef", "troisdorf"}),
        ("fine+coarse", {"aachen", "krefeld", "bad-honnef", "troisdorf"}),
    ],
)
def test_the_coarse_labels(train, names, zipped, tree, tmp_path):
    if zipped:
        zip_tree(tree, compression=zipfile.ZIP_DEFLATED)
    labels = trees.labels(f"cityscapes(train={train!r})", tree, tmp_path / "cache")
    assert {name.split("/")[0] for name in labels} == names
    np.testing.assert_array_equal(labels["bad-honnef/bad-honnef_000000_000000"], LABEL)
    assert trees.labels(f"cityscapes(train={train!r})", tree, tmp_path / "cache", "val").keys() == {
        "frankfurt/frankfurt_000000_000294"
    }


def test_coarse_labels_that_are_not_there(tree, tmp_path):
    shutil.rmtree(tree / "gtCoarse")
    with pytest.raises(FileNotFoundError, match="no train_extra in gtCoarse"):
        trees.labels("cityscapes(train='fine+coarse')", tree, tmp_path / "cache")
    with pytest.raises(ValueError, match=r"'fine'\|'coarse'\|'fine\+coarse'.*train='rough'"):
        trees.labels("cityscapes(train='rough')", tree, tmp_path / "cache")
    with pytest.raises(FileNotFoundError, match=r"leftImg8bit_trainvaltest\.zip.*register at"):
        trees.labels("cityscapes", tree / "leftImg8bit", tmp_path / "cache")


def test_a_split_that_is_not_there_is_left_out(tree, tmp_path, caplog):
    shutil.rmtree(tree / "leftImg8bit/val")
    shutil.rmtree(tree / "gtFine/val")
    with caplog.at_level(logging.INFO, "absl"):
        assert trees.labels("cityscapes", tree, tmp_path / "cache").keys()
    assert "no val split" in caplog.text


def test_a_missing_mask_of_an_archive_is_named(tree, tmp_path):
    (tree / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png").unlink()
    zip_tree(tree)
    with pytest.raises(ValueError, match=r"(?s)1 of 2.*trainvaltest\.zip.*aachen_000000_000019_gtFine_labelIds\.png"):
        trees.labels("cityscapes", tree, tmp_path / "cache")


@pytest.mark.parametrize("damage", ["a bit", "cut"])
def test_a_damaged_archive_is_named(damage, tree, tmp_path):
    zip_tree(tree)
    path = tree / "gtFine_trainvaltest.zip"
    data = path.read_bytes()
    if damage == "a bit":
        with zipfile.ZipFile(path) as file:
            header = file.getinfo("gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png").header_offset
        at = header + 30 + len("gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png") + 40
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        message = r"(?s)1 of 2.*aachen_000000_000019_gtFine_labelIds\.png.*Bad CRC-32"
    else:
        path.write_bytes(data[: len(data) // 2])
        message = r"whole zip archive\. Received: .*gtFine_trainvaltest\.zip"
    with pytest.raises(ValueError, match=message):
        trees.labels("cityscapes", tree, tmp_path / "cache")


def test_a_changed_archive_is_noticed(tree, tmp_path):
    zip_tree(tree)
    before = input_pipeline.prepare("cityscapes", str(tree), str(tmp_path / "cache"))
    assert input_pipeline.prepare("cityscapes", str(tree), str(tmp_path / "cache")) == before
    with zipfile.ZipFile(tree / "gtFine_trainvaltest.zip", "a") as file:
        file.writestr("README", "another time and size")
    assert input_pipeline.prepare("cityscapes", str(tree), str(tmp_path / "cache")).directory != before.directory


def test_the_real_frames_label_ids_are_its_train_ids(tmp_path):
    data = trees.sample("cityscapes_mmseg")
    label = trees.labels("cityscapes", data, tmp_path, "val")["frankfurt/frankfurt_000000_000294"]
    frame = data / "gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_labelTrainIds.png"
    train_ids = np.array(Image.open(frame))
    # The two files were shrunk to 256 x 128 apart from one another: at 77 pixels, each on a border, they show another side
    # of it (id 7 is train id 0, 1, 5, 13 or 255 there). Everywhere else they agree.
    rows, columns = np.nonzero(label != train_ids)
    assert len(rows) == 77
    padded = [np.pad(ids, 1, mode="edge") for ids in (label, train_ids)]
    for row, column in zip(rows, columns, strict=True):
        assert max(len(np.unique(ids[row : row + 3, column : column + 3])) for ids in padded) > 1
    assert np.unique(label).tolist() == [0, 1, 2, 4, 5, 7, 8, 10, 11, 13, 255]

    shutil.copytree(data, tmp_path / "data")
    next((tmp_path / "data").rglob("*_labelIds.png")).unlink()
    (label,) = trees.labels("cityscapes", tmp_path / "data", tmp_path, "val").values()
    np.testing.assert_array_equal(label, train_ids)


def test_the_class_table():
    assert {c.raw: i for i, c in enumerate(cityscapes.CLASSES)} == TRAIN_IDS
    raws = [c.raw for c in (*cityscapes.CLASSES, *cityscapes.IGNORED)]
    assert sorted(raws) == [*range(34), 255]


def test_instances_are_those_of_people_and_vehicles(tree, tmp_path):
    """Id 24 is a group; persons 24001 and 24002 and a bus stand on pixels of their classes, a tree is no instance."""
    ids = np.full((4, 9), 21, np.uint8)
    ids[0], ids[1, :5] = 24, 28
    numbers = np.full((4, 9), 21000, np.uint16)  # vegetation has no instances, whatever the file says
    numbers[0] = [24] * 3 + [24002] * 4 + [24001] * 2
    numbers[1, :5] = 28000
    for path in tree.rglob("*aachen*labelIds.png"):
        trees.save(path, ids)
    for path in tree.rglob("*aachen*instanceIds.png"):
        trees.save(path, numbers)
    spec = "cityscapes(instances=True)"
    for zipped in (False, True):
        if zipped:
            zip_tree(tree)
        found = trees.examples(spec, tree, tmp_path / "cache")["aachen/aachen_000000_000019"]
        expected = np.zeros((4, 9), int)
        expected[0, 3:7], expected[0, 7:], expected[1, :5] = 2, 1, 3
        np.testing.assert_array_equal(found["instances"], expected)
        assert found["boxes"].tolist() == [[7, 0, 9, 1], [3, 0, 7, 1], [0, 1, 5, 2]]
        assert found["box_classes"].tolist() == [11, 11, 15], "person, person, bus"


def test_the_real_frames_instances(tmp_path):
    data = trees.sample("cityscapes_mmseg")
    found = trees.examples("cityscapes(instances=True)", data, tmp_path, "val")["frankfurt/frankfurt_000000_000294"]
    raw = np.array(Image.open(next(data.rglob("*_instanceIds.png"))))
    things = {26: 13, 24: 11, 25: 12, 33: 18}
    values = [i for i in np.unique(raw) if i >= 1000 and i // 1000 in things]
    assert values == [i for i in np.unique(raw) if i >= 24000], "there are no others"
    assert found["box_classes"].tolist() == [things[i // 1000] for i in values]
    for k, value in enumerate(values, 1):
        np.testing.assert_array_equal(found["instances"] == k, raw == value)


def test_instances_leave_prepared_records_as_they_are(tree, tmp_path):
    """The options, and so the folder's name and the hash in it, are those of releases that had no instances."""
    plain = input_pipeline.prepare("cityscapes", str(tree), str(tmp_path / "cache"))
    assert plain.options.keys() == {"train", "boxes"}
    (next(tree.rglob("*aachen*instanceIds.png"))).unlink()
    assert input_pipeline.prepare("cityscapes", str(tree), str(tmp_path / "cache")) == plain
    with pytest.raises(ValueError, match=r"(?s)1 of 2 with an error.*aachen_000000_000019_gtFine_instanceIds\.png"):
        input_pipeline.prepare("cityscapes(instances=True)", str(tree), str(tmp_path / "cache"))
