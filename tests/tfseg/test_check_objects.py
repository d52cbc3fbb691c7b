"""--mode=check counts boxes and instances, by hand and as preparation counts them."""

import numpy as np
import pytest

import input_pipeline
from input_pipeline import checking
from input_pipeline.checking import objects
from input_pipeline.source.listing import Example
from tests.input_pipeline import test_boxes
from tfseg import check as check_lib
from tfseg.config import Config

STREETS = "streets(train=3, val=2, size=(48, 64), instances=('car', 'tree'))"
FOLDER = 'folder(boxes="boxes", val_fraction=0.0)'


def test_boxes_of_a_folder(tmp_path, capsys):
    """The images of the folder have a wall and a roof each. We take both from c, and b gets a second roof, outside of it."""
    test_boxes.folder(tmp_path / "data")
    (tmp_path / "data/boxes/c.xml").write_text(test_boxes.xml([]))
    given = [("wall", 1, 2, 11, 12), ("roof", 20, 5, 40, 30), ("roof", 70, 5, 80, 30)]
    (tmp_path / "data/boxes/b.xml").write_text(test_boxes.xml(given))
    options = {"dataset": FOLDER, "data_dir": str(tmp_path / "data"), "output_dir": str(tmp_path)}
    report = check_lib.check(Config(mode="check", **options))
    assert report.objects == {"train": objects.Objects(images=3, empty=1, most=2, left_out=1, classes={1: 2, 2: 2})}
    assert "1 boxes outside their image will be left out." in report.notes
    assert "Boxes:     train: 4 in 3 images (1 without, at most 2 in one): 2 wall, 2 roof" in capsys.readouterr().out
    (tmp_path / "data/boxes/a.xml").write_text(test_boxes.xml([("wall", 1, 2, 1, 12)]))
    (finding,) = checking.check(FOLDER, str(tmp_path / "data")).findings
    assert "a.xml" in finding
    assert "Expected boxes x1 < x2" in finding


def test_instances_are_those_that_preparation_counts(tmp_path):
    report = checking.check(STREETS)
    prepared = input_pipeline.prepare(STREETS, cache_dir=str(tmp_path))
    assert report.instances
    for split, counts in report.objects.items():
        expected = prepared.statistics[split]["objects"]
        assert counts.classes == {i: n for i, n in enumerate(expected) if n}
        assert counts.most == prepared.boxes[split]
        assert counts.images == prepared.splits[split]
    assert sum(counts.classes.total() for counts in report.objects.values()) > 5
    assert "Instances: train: " in check_lib.describe(report)
    assert checking.check("streets(train=1, val=1, size=(48, 64))").objects == {}


def test_instances_without_a_label_and_of_another_size():
    """Object 4 is ignored everywhere; 9 is of class 1, and its box is around it."""
    ids, label = np.array([[0, 4, 9], [0, 9, 9]]), np.array([[1, -1, 1], [0, 1, 255]])
    example = Example("a", np.zeros((2, 3, 3), np.uint8), label, instances=ids)
    found = objects.read(example, example.image, label, turned=False)
    assert (found.boxes.tolist(), found.classes.tolist(), found.left_out) == ([[1, 0, 3, 2]], [1], 1)
    assert objects.read(example, example.image, None, turned=False) is None
    with pytest.raises(ValueError, match="Expected"):
        objects.read(example, np.zeros((4, 3, 3), np.uint8), label, turned=False)


def test_augmented_samples_move_instances(monkeypatch):
    """The boxes that are drawn are around the instances that the chain leaves, as in training."""
    seen = []
    monkeypatch.setattr(checking.samples, "_tile", lambda split, example: seen.append(example))
    chain = "affine(scale=(1.0, 1.0), flip=True) | cutmix(1.0)"
    checking.augmented("streets(train=4, val=1, size=(48, 64), instances=True)", chain=chain, crop_size=(32, 32))
    assert len(seen) == 4
    for example in seen:
        left = np.count_nonzero(example["box_classes"] >= 0)
        assert set(np.unique(example["instances"])) - {0} == set(range(1, left + 1))
