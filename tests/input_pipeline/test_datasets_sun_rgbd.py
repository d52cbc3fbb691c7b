import numpy as np
import pytest

import input_pipeline
from input_pipeline.datasets import sun_rgbd
from tests.input_pipeline import trees


def fake_tree(root):
    """Test images 1 and 5050, train images 1, 2 and 5285; each mask holds its class in one corner, 0 in another."""
    for split, number, mask, raw in (
        ("test", 1, 1, 1),
        ("test", 5050, 5050, 2),
        ("train", 1, 5051, 3),
        ("train", 2, 5052, 37),
        ("train", 5285, 10335, 20),
    ):
        trees.save(root / f"SUNRGBD-{split}_images/img-{number:06}.jpg", np.full((6, 8, 3), number % 250, np.uint8))
        ids = np.full((6, 8), raw, np.uint8)
        ids[0, 0] = 0
        trees.save(root / f"sunrgbd_train_test_labels/img-{mask:06}.png", ids)
    return "sun_rgbd"


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "sunrgbd"
    fake_tree(root)
    return root


def test_masks_are_numbered_test_first(data, tmp_path):
    # The train archive begins at 1 again: its image i goes with mask 5050 + i. Train ids are raw ids minus one.
    train = trees.examples("sun_rgbd", data, tmp_path / "cache")
    assert {name: (e["label"][1, 1], e["image"][0, 0, 0]) for name, e in train.items()} == {
        "img-005051": (2, 1),
        "img-005052": (36, 2),
        "img-010335": (19, 5285 % 250),
    }
    test = trees.examples("sun_rgbd", data, tmp_path / "cache", "test")
    assert {name: e["label"][1, 1] for name, e in test.items()} == {"img-000001": 0, "img-005050": 1}
    assert all(e["label"][0, 0] == 255 for e in [*train.values(), *test.values()]), "0 is unlabelled"


def test_val_is_taken_from_train_where_asked(data, tmp_path):
    splits = input_pipeline.prepare("sun_rgbd(val_fraction=0.4)", str(data), str(tmp_path / "cache")).splits
    assert splits == {"train": 2, "val": 1, "test": 2}


def test_train_images_that_were_renumbered_are_refused(data, tmp_path):
    (data / "SUNRGBD-train_images/img-005285.jpg").rename(data / "SUNRGBD-train_images/img-010335.jpg")
    with pytest.raises(ValueError, match=r"img-000001 to img-005285.*img-010335\.jpg"):
        input_pipeline.prepare("sun_rgbd", str(data), str(tmp_path / "cache"))


def test_the_class_table():
    assert len(sun_rgbd.CLASSES) == 37
    assert [c.raw for c in sun_rgbd.CLASSES] == list(range(1, 38))
    assert (sun_rgbd.CLASSES[0].name, sun_rgbd.CLASSES[-1].name) == ("wall", "bag")
    assert len({c.color for c in sun_rgbd.CLASSES}) == len({c.name for c in sun_rgbd.CLASSES}) == 37
    assert sum(sun_rgbd.SPLITS.values()) == 10335
