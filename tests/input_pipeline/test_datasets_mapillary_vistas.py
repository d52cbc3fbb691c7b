import json

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline.datasets import mapillary_vistas
from tests.input_pipeline import trees

COUNTS = {"1.2": 66, "2.0": 124}  # numbers of labels; the last label is ignored
SHAPE = (6, 21)
IDS = {version: (np.arange(126).reshape(SHAPE) % count).astype(np.uint8) for version, count in COUNTS.items()}


def spec(version):
    return f'mapillary_vistas(version="{version}")'


def expected(version):
    return np.where(IDS[version] == COUNTS[version] - 1, 255, IDS[version])


def config(version, **changes):
    """A config like that of the package: names that are paths, readable names, colours; one label is not evaluated."""
    labels = [
        {
            "name": f"object--{version}--thing-{i}",
            "readable": f"Thing {i}",
            "color": [i, 200, i],
            "evaluate": i < count - 1,
            "instances": False,
        }
        for count in (COUNTS[version],)
        for i in range(count)
    ]
    for label in labels:
        label |= changes
    return {"labels": labels, "version": version, "mapping": "public", "folder_structure": "..."}


def fake_tree(root):
    """The package of 1.2 and 2.0: two images to train on, one to validate, and one to test that has no mask."""
    for split, names in (("training", ("a-A_1", "b")), ("validation", ("c",)), ("testing", ("d",))):
        for name in names:
            trees.save(root / split / "images" / f"{name}.jpg", np.full((*SHAPE, 3), 99, np.uint8))
            for version in COUNTS if split != "testing" else ():
                folder = root / split / f"v{version}"
                trees.save(folder / "labels" / f"{name}.png", IDS[version], palette=True)
                trees.save(folder / "instances" / f"{name}.png", IDS[version].astype(np.uint16) * 256)
                trees.save(folder / "panoptic" / f"{name}.png", np.zeros((*SHAPE, 3), np.uint8))
    return "mapillary_vistas"


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "data"
    fake_tree(root)
    return root


@pytest.fixture
def old(tmp_path):
    """A package before 2.0, with the config that it has."""
    root = tmp_path / "data"
    for split, name in (("training", "a"), ("validation", "c")):
        trees.save(root / split / "images" / f"{name}.jpg", np.full((*SHAPE, 3), 99, np.uint8))
        trees.save(root / split / "labels" / f"{name}.png", IDS["1.2"], palette=True)
        trees.save(root / split / "instances" / f"{name}.png", IDS["1.2"].astype(np.uint16) * 256)
    (root / "config.json").write_text(json.dumps(config("1.2")))
    return root


@pytest.mark.parametrize("version", COUNTS)
def test_the_labels_of_both_versions(version, tree, tmp_path):
    train, val = (trees.labels(spec(version), tree, tmp_path / "cache", split) for split in ("train", "val"))
    assert (train.keys(), val.keys()) == ({"a-A_1", "b"}, {"c"})
    for label in (*train.values(), *val.values()):
        np.testing.assert_array_equal(label, expected(version))
    prepared = input_pipeline.prepare(spec(version), str(tree), str(tmp_path / "cache"))
    assert prepared.num_classes == COUNTS[version] - 1
    assert prepared.splits == {"train": 2, "val": 1}
    assert prepared.classes[0].name == "Bird", "the table of the program, as there is no config"


def test_1_2_is_the_default(tree, tmp_path):
    (label, *_) = trees.labels("mapillary_vistas", tree, tmp_path / "cache").values()
    np.testing.assert_array_equal(label, expected("1.2"))


def test_an_old_package(old, tmp_path):
    (label,) = trees.labels("mapillary_vistas", old, tmp_path / "cache").values()
    np.testing.assert_array_equal(label, expected("1.2"))
    prepared = input_pipeline.prepare("mapillary_vistas", str(old), str(tmp_path / "cache"))
    assert prepared.classes[3].name == "Thing 3"
    with pytest.raises(ValueError, match=r"(?s)1 of 1.*v2\.0.labels.a\.png: Expected a file"):
        trees.labels(spec("2.0"), old, tmp_path / "cache")


def test_the_config_of_the_tree_is_the_class_table(tree, tmp_path):
    for version in COUNTS:
        table = config(version)
        table["labels"][2]["evaluate"] = False
        (tree / f"config_v{version}.json").write_text(json.dumps(table))
    for version, count in COUNTS.items():
        prepared = input_pipeline.prepare(spec(version), str(tree), str(tmp_path / "cache"))
        # Labels 2 and the last are not evaluated: the labels after 2 move up by one.
        assert [c.name for c in prepared.classes] == [f"Thing {i}" for i in range(count - 1) if i != 2]
        assert prepared.classes[2].color == (3, 200, 3)
        label = trees.labels(spec(version), tree, tmp_path / "cache")["b"]
        ids = IDS[version].astype(int)
        np.testing.assert_array_equal(label, np.where((ids == 2) | (ids == count - 1), 255, ids - (ids > 2)))


def test_names_that_are_not_unique(tree, tmp_path):
    (tree / "config_v1.2.json").write_text(json.dumps(config("1.2", readable="Thing")))
    prepared = input_pipeline.prepare("mapillary_vistas", str(tree), str(tmp_path / "cache"))
    assert prepared.classes[5].name == "object--1.2--thing-5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            json.dumps(config("2.0")),
            r"the 66 labels of this version\. Received: 124 in .*config_v1\.2\.json.*other version",
        ),
        ("{", r"Expected labels with name.*config_v1\.2\.json"),
        ('{"labels": [{"name": "a"}]}', r"Expected labels.*KeyError: 'readable'"),
    ],
    ids=["another version", "no JSON", "no labels"],
)
def test_a_config_that_is_none(text, message, tree, tmp_path):
    (tree / "config_v1.2.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        trees.labels("mapillary_vistas", tree, tmp_path / "cache")


def test_versions_that_are_none(tree, tmp_path):
    for version in ("1.2", '"3.0"'):
        with pytest.raises(ValueError, match=r'version="1\.2".*version="2\.0".*Received'):
            trees.labels(f"mapillary_vistas(version={version})", tree, tmp_path / "cache")


def test_photos_that_exif_turns(tree, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    photo = np.zeros((SHAPE[1], SHAPE[0], 3), np.uint8)  # as in the sensor: 21 rows of 6
    photo[:8] = 240  # its upper part is on the right of the upright picture
    trees.save(tree / "training/images/b.jpg", photo, exif=exif, quality=100)
    image = trees.examples("mapillary_vistas", tree, tmp_path / "cache")["b"]["image"]
    assert image.shape == (*SHAPE, 3)
    assert image[:, -6:].min() > 200
    assert image[:, :10].max() < 50


@pytest.mark.parametrize(("version", "ids"), [("1.2", [17, 44, 45]), ("2.0", [27, 84, 85])])
def test_real_files(version, ids, tmp_path):
    data = trees.sample("mapillary_mmseg")
    (label,) = trees.labels(spec(version), data, tmp_path).values()
    assert np.unique(label).tolist() == ids
    mask = Image.open(next((data / f"training/v{version}/labels").iterdir()))
    assert mask.mode == "P"
    np.testing.assert_array_equal(label, np.asarray(mask))


def test_the_tables_are_those_of_the_reference():
    facts = json.loads(trees.reference("palettes.json").read_text())
    for version, name in (("1.2", "MapillaryDataset_v1"), ("2.0", "MapillaryDataset_v2")):
        table = mapillary_vistas.TABLES[version]
        assert [c.name for c in table] == facts[name]["classes"]
        assert [list(c.color) for c in table] == facts[name]["palette"]
        assert [c.raw for c in table] == list(range(COUNTS[version]))
        assert table[-1].name == "Unlabeled"
