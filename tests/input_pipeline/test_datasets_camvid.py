import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline.datasets import camvid
from input_pipeline.source import components
from input_pipeline.source.class_tables import Class
from tests.input_pipeline import trees

REAL = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "camvid"
# Shares of all pixels, images with the class, and the resulting weights, measured elsewhere on the same files.
SHARES = (0.1685, 0.2326, 0.0098, 0.3166, 0.0449, 0.0972, 0.0117, 0.0113, 0.0587, 0.0064, 0.0029)
IMAGES = [366, 365, 366, 367, 349, 319, 351, 173, 360, 317, 201]
MEDIAN_FREQUENCY = (0.2793, 0.2017, 4.7865, 0.1490, 1.0, 0.4217, 3.8467, 1.9736, 0.7889, 6.3747, 8.8587)
ENET = (5.603, 4.295, 33.57, 3.335, 15.49, 8.739, 31.54, 32.01, 12.83, 38.01, 43.91)


def fake_tree(root):
    """A frame of each split, in SegNet's layout; the mask holds every id."""
    for split in ("train", "val"):
        trees.save(root / split / "0001TP_006690.png", np.full((2, 6, 3), 90, np.uint8))
        trees.save(root / f"{split}annot" / "0001TP_006690.png", np.arange(12, dtype=np.uint8).reshape(2, 6))
    return "camvid"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    if not REAL.is_dir():
        pytest.skip(f"the real CamVid is not at {REAL}")
    return input_pipeline.prepare("camvid", str(REAL), str(tmp_path_factory.mktemp("cache")))


def test_every_pair_is_there(prepared):
    assert prepared.splits == {"train": 367, "val": 101}
    assert prepared.statistics["train"]["sizes"] == {"360x480": 367}
    ids = {e["id"].decode() for e in prepared.encoded("train").as_numpy_iterator()}
    assert ids == {p.stem for p in (REAL / "train").iterdir()}


def test_statistics_equal_those_published(prepared):
    train, total = prepared.statistics["train"], 367 * 360 * 480
    np.testing.assert_allclose(np.divide(train["pixels"], total), SHARES, atol=5e-5)
    np.testing.assert_allclose(train["ignored"] / total, 0.0395, atol=5e-5)
    assert sum(train["pixels"]) + train["ignored"] == total
    assert train["images"] == IMAGES
    np.testing.assert_allclose(np.divide(train["mean"], 255), (0.411895, 0.425133, 0.432671), atol=1e-6)
    np.testing.assert_allclose(np.divide(train["std"], 255), (0.307073, 0.311611, 0.307218), atol=1e-6)
    np.testing.assert_allclose(np.divide(prepared.statistics["val"]["mean"], 255), (0.3136, 0.3328, 0.3478), atol=5e-5)


def test_class_weights_that_follow_equal_those_published(prepared):
    train = prepared.statistics["train"]
    # These count unlabelled pixels too; `pixels_present` does not, which moves no weight by half a percent.
    frequency = np.divide(train["pixels"], np.multiply(train["images"], 360 * 480))
    np.testing.assert_allclose(np.median(frequency) / frequency, MEDIAN_FREQUENCY, atol=5e-5)
    frequency = np.divide(train["pixels"], train["pixels_present"])
    np.testing.assert_allclose(np.median(frequency) / frequency, MEDIAN_FREQUENCY, rtol=5e-3)
    share = np.divide(train["pixels"], sum(train["pixels"]))
    np.testing.assert_allclose(1 / np.log(1.02 + share), ENET, rtol=5e-4)


def test_records_hold_the_files(prepared):
    for record in prepared.encoded("val").take(5).as_numpy_iterator():
        name = record["id"].decode()
        assert record["image"] == (REAL / "val" / f"{name}.png").read_bytes()
        raw = np.array(Image.open(REAL / "valannot" / f"{name}.png"))
        label = input_pipeline.decode(record)["label"]
        np.testing.assert_array_equal(label, np.where(raw == 11, 255, raw))


def test_the_unlabelled_pixels_as_a_twelfth_class(tmp_path):
    mask = np.array([[0, 5, 11], [10, 11, 3]], np.uint8)
    for folder, pixels in (("train", np.zeros((2, 3, 3), np.uint8)), ("trainannot", mask)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "data" / folder / "a.png")
    for spec, classes, label in (
        ("camvid", 11, np.where(mask == 11, 255, mask)),
        ("camvid(classes=12)", 12, mask),
    ):
        prepared = input_pipeline.prepare(spec, str(tmp_path / "data"), str(tmp_path / "cache"))
        assert prepared.num_classes == classes
        example = next(prepared.encoded("train").map(input_pipeline.decode).as_numpy_iterator())
        np.testing.assert_array_equal(example["label"], label)


def test_the_class_table():
    assert [c.raw for c in camvid.CLASSES] == list(range(12))
    assert len({c.color for c in camvid.CLASSES}) == len({c.name for c in camvid.CLASSES}) == 12


# The original release. Its masks are colours; the fake ones have two by two pixels of each of the 32.
NAMES = [name for name, _, _ in camvid.ORIGINAL]
COLORS = np.array([color for _, color, _ in camvid.ORIGINAL], np.uint8)
ROWS = np.arange(32).reshape(4, 8).repeat(2, 0).repeat(2, 1)  # the row of the table of each pixel of the mask
# The usual merge, as datasets.md of this project's reference has it, in the order of the 11 classes.
MERGE = (
    "Sky",
    "Building Wall Tunnel Bridge Archway",
    "Column_Pole TrafficCone",
    "Road LaneMkgsDriv LaneMkgsNonDriv",
    "Sidewalk ParkingBlock RoadShoulder",
    "Tree VegetationMisc",
    "SignSymbol Misc_Text TrafficLight",
    "Fence",
    "Car SUVPickupTruck Truck_Bus Train OtherMoving",
    "Pedestrian Child CartLuggagePram Animal",
    "Bicyclist MotorcycleScooter",
)


def write(root, images, masks, names, mask=COLORS[ROWS]):
    for name in names:
        trees.save(root / images / f"{name}.png", np.zeros((8, 16, 3), np.uint8))
        trees.save(root / masks / f"{name}_L.png", mask)


@pytest.fixture
def archives(tmp_path):
    names = ("0006R0_f00930", "0016E5_07959", "0016E5_08190", "Seq05VD_f00000", "0001TP_008520", "0001TP_008550")
    write(tmp_path / "data", "701_StillsRaw_full", "LabeledApproved_full", names)
    return tmp_path / "data"


def test_frames_go_into_the_split_that_segnet_has_them_in():
    if not REAL.is_dir():
        pytest.skip(f"the real CamVid is not at {REAL}")
    for split, count in (("train", 367), ("val", 101)):
        found = [camvid.split_of(path.stem) for path in (REAL / split).iterdir()]
        assert found == [split] * count


def test_the_original_archives(archives, tmp_path):
    expected = {
        "train": {"0006R0_f00930", "0016E5_08190", "0001TP_008520"},
        "val": {"0016E5_07959"},
        "test": {"Seq05VD_f00000", "0001TP_008550"},
    }
    for split, names in expected.items():
        found = trees.labels('camvid(release="full", classes=31)', archives, tmp_path / "cache", split)
        assert found.keys() == names
    # Void is the 31st row of 32: those before keep their place, Wall moves up by one.
    np.testing.assert_array_equal(found["Seq05VD_f00000"], np.where(ROWS == 30, 255, np.minimum(ROWS, 30)))


def test_the_original_classes_with_void(archives, tmp_path):
    spec = 'camvid(release="full", classes=32)'
    names = [c.name for c in input_pipeline.prepare(spec, str(archives), str(tmp_path / "cache")).classes]
    label = trees.labels(spec, archives, tmp_path / "cache", "val")["0016E5_07959"]
    assert [names[i] for i in label[::2, ::2].ravel()] == NAMES
    assert names[31] == "Void"


@pytest.mark.parametrize("classes", [11, 12])
def test_the_original_release_merged(classes, archives, tmp_path):
    spec = f'camvid(release="full", classes={classes})'
    label = trees.labels(spec, archives, tmp_path / "cache", "val")["0016E5_07959"]
    into = {name: i for i, names in enumerate(MERGE) for name in names.split()} | {"Void": 255 if classes == 11 else 11}
    assert sorted(into) == sorted(NAMES)
    assert label[::2, ::2].ravel().tolist() == [into[name] for name in NAMES]
    prepared = input_pipeline.prepare(spec, str(archives), str(tmp_path / "cache"))
    assert [c.name for c in prepared.classes] == [c.name for c in camvid.CLASSES[:classes]]
    assert prepared.classes[4].color == (0, 0, 192), "Sidewalk's: SegNet's own colour is none of this release"


def test_a_divided_release_keeps_its_splits(tmp_path):
    data = tmp_path / "data"
    for split, name in (("train", "Seq05VD_f00000"), ("val", "0006R0_f00930"), ("test", "0016E5_07959")):
        write(data, split, f"{split}_labels", [name])
    table = "name,r,g,b\n" + "".join(f"{name}, {r}, {g}, {b}\n" for name, (r, g, b), _ in camvid.ORIGINAL)
    (data / "class_dict.csv").write_text(table)
    assert trees.labels('camvid(release="full")', data, tmp_path / "cache").keys() == {"Seq05VD_f00000"}
    (data / "class_dict.csv").write_text(table.replace("Sky, 128, 128, 128", "Sky, 128, 128, 129"))
    with pytest.raises(ValueError, match=r"class_dict\.csv: Sky,128,128,129\..*folder"):
        trees.labels('camvid(release="full")', data, tmp_path / "cache")


def test_colours_outside_the_table_are_ignored_and_reported(archives, tmp_path, caplog):
    mask = COLORS[ROWS]
    mask[0, :3] = (1, 2, 3)
    mask[7, 0] = (64, 128, 65)
    trees.save(archives / "LabeledApproved_full/0016E5_08190_L.png", mask)
    prepared = input_pipeline.prepare('camvid(release="full", classes=31)', str(archives), str(tmp_path / "cache"))
    # Three images of 8 x 16 in train, 4 pixels of one of them: 4 / 384 = 1.0417 %.
    assert "camvid train: 4 of 384 pixels (1.0417 %), in 1 images, have colours outside" in caplog.text
    assert "(1, 2, 3) on 3 pixels, (64, 128, 65) on 1 pixels. Images: 0016E5_08190." in caplog.text
    assert "camvid val:" not in caplog.text
    label = trees.labels('camvid(release="full", classes=31)', archives, tmp_path / "cache")["0016E5_08190"]
    assert (label[0, :3] == 255).all()
    assert (label[0, 3], label[7, 0], label[7, 1]) == (1, 255, 24), "Archway, unknown, TrafficLight"
    facts = json.loads((prepared.directory / "statistics.json").read_text())
    assert facts["outside"]["train"] == {"pixels": 4, "images": 1}
    assert facts["outside"]["val"] == {"pixels": 0, "images": 0}


def test_masks_of_ids_are_no_original_masks(archives, tmp_path):
    trees.save(archives / "LabeledApproved_full/0016E5_08190_L.png", ROWS.astype(np.uint8))
    with pytest.raises(ValueError, match=r"0016E5_08190_L\.png: Expected an RGB mask"):
        trees.labels('camvid(release="full")', archives, tmp_path / "cache")


def test_what_the_other_release_is_said_to_need(archives, tmp_path):
    with pytest.raises(ValueError, match=r'trainannot.*camvid\(release="full"\)'):
        trees.labels("camvid", archives, tmp_path / "cache")
    with pytest.raises(ValueError, match=r"classes=11\|12\|31\|32.*classes=10, release=\'full\'"):
        trees.labels('camvid(release="full", classes=10)', archives, tmp_path / "cache")
    write(archives, "701_StillsRaw_full", "LabeledApproved_full", ["frame1"])
    with pytest.raises(ValueError, match=r"name of a CamVid frame.*'frame1'"):
        trees.labels('camvid(release="full")', archives, tmp_path / "cache")


def test_the_tables_are_those_of_the_reference():
    facts = json.loads(trees.reference("palettes.json").read_text())
    for table, name in (
        (camvid.CLASSES, "CamVid11_SegNet"),
        ([Class(n, c) for n, c, _ in camvid.ORIGINAL], "CamVid32"),
    ):
        assert [list(c.color) for c in table] == facts[name]["palette"]
    assert facts["CamVid32"]["classes"] == NAMES


# Cars and pedestrians.
def street(root, name="0006R0_f00930", box=""):
    """A frame of 36 x 48 pixels: a car has at least 1.2 x 0.8 pixels there, a pedestrian 1.6 x 0.6."""
    mask = np.full((36, 48), 3, np.uint8)
    mask[4:8, 4:10] = 8
    mask[8, 10] = 8  # connected by a corner
    mask[20, 20:26] = 8  # one row: too low for a car
    mask[10:12, 30] = 9
    mask[20, 40] = 9  # too low for a pedestrian
    mask[30:33, 2:4] = 9
    trees.save(root / "train" / f"{name}.png", np.zeros((36, 48, 3), np.uint8))
    trees.save(root / "trainannot" / f"{name}.png", mask)
    if box:
        (root / "bbox").mkdir(exist_ok=True)
        (root / "bbox" / f"{name}.xml").write_text(box)
    return mask


BOXES, KINDS = [[4, 4, 11, 9], [30, 10, 31, 12], [2, 30, 4, 33]], [8, 9, 9]


def test_cars_and_pedestrians_are_regions_of_the_masks(tmp_path):
    mask = street(tmp_path / "data")
    for spec, name in (("camvid(boxes=True)", "boxes"), ("camvid(instances=True)", "instances")):
        assert name in input_pipeline.features(spec)
        found = trees.examples(spec, tmp_path / "data", tmp_path / "cache")["0006R0_f00930"]
        np.testing.assert_array_equal(found["label"], mask)
        assert found["boxes"].tolist() == BOXES
        assert found["box_classes"].tolist() == KINDS
    expected = np.zeros_like(mask, int)
    expected[4:8, 4:10] = expected[8, 10] = 1
    expected[10:12, 30], expected[30:33, 2:4] = 2, 3
    np.testing.assert_array_equal(found["instances"], expected)
    assert (
        "instances" not in trees.examples("camvid(boxes=True)", tmp_path / "data", tmp_path / "cache")["0006R0_f00930"]
    )


def test_cars_and_pedestrians_of_the_original_release(tmp_path):
    """An SUV beside a car is one car with SegNet's classes, and none with the release's own."""
    names = np.full((36, 48), NAMES.index("Road"))
    names[4:10, 4:10], names[4:10, 10:20], names[20:30, 20:24] = (
        NAMES.index(n) for n in ("Car", "SUVPickupTruck", "Child")
    )
    write(tmp_path / "data", "train", "train_labels", ["0006R0_f00930"], COLORS[names])
    trees.save(tmp_path / "data/train/0006R0_f00930.png", np.zeros((36, 48, 3), np.uint8))
    for classes, boxes, kinds in (
        (11, [[4, 4, 20, 10], [20, 20, 24, 30]], ["car", "pedestrian"]),
        (31, [[4, 4, 10, 10]], ["Car"]),
    ):
        spec = f'camvid(release="full", classes={classes}, instances=True)'
        prepared = input_pipeline.prepare(spec, str(tmp_path / "data"), str(tmp_path / "cache"))
        found = trees.examples(spec, tmp_path / "data", tmp_path / "cache")["0006R0_f00930"]
        assert found["boxes"].tolist() == boxes
        assert [prepared.classes[i].name for i in found["box_classes"]] == kinds


def test_boxes_of_annotations_in_other_coordinates(tmp_path):
    """The real annotation is drawn in 960 x 720 pixels; the frame here has 48 x 36, a twentieth. An SUV is no Car."""
    xml = (trees.sample("camvid_bbox_guanfuchen") / "0006R0_f00930.xml").read_text(encoding="utf-8")
    street(tmp_path / "data", box=xml)
    found = trees.examples('camvid(boxes="bbox")', tmp_path / "data", tmp_path / "cache")["0006R0_f00930"]
    pixels = [[713, 373, 745, 392], [683, 370, 712, 394], [200, 335, 278, 403]]
    np.testing.assert_allclose(found["boxes"], np.array(pixels) / 20, rtol=1e-6)
    assert found["box_classes"].tolist() == [8, 8, 8]
    street(tmp_path / "data", "0006R0_f00960")
    with pytest.raises(ValueError, match=r"(?s)1 of 2 with an error.*0006R0_f00960\.xml"):
        trees.examples('camvid(boxes="bbox")', tmp_path / "data", tmp_path / "cache")
    for spec in ('camvid(boxes="none")', 'camvid(boxes="bbox", instances=True)'):
        with pytest.raises(ValueError, match="Expected a folder of boxes in data_dir, without instances"):
            trees.examples(spec, tmp_path / "data", tmp_path / "cache")


def test_options_that_are_off_leave_prepared_records_as_they_are(tmp_path):
    fake_tree(tmp_path / "data")
    prepared = input_pipeline.prepare("camvid", str(tmp_path / "data"), str(tmp_path / "cache"))
    assert prepared.options.keys() == {"classes", "release"}


def test_how_many_objects_the_real_masks_have():
    """Measured elsewhere: 2.9 cars and 2.3 pedestrians an image of train, half of them above 37 x 41 and 36 x 12 pixels."""
    if not REAL.is_dir():
        pytest.skip(f"the real CamVid is not at {REAL}")
    paths = sorted((REAL / "trainannot").iterdir())
    kinds = {i: components.Kind((i,), camvid.SMALLEST[name]) for i, name in ((8, "car"), (9, "pedestrian"))}
    found = [(kind, box) for path in paths for kind, box, _ in components.find(np.array(Image.open(path)), kinds)]
    for kind, mean, height, width in ((8, 2.9, 37, 41), (9, 2.3, 36, 12)):
        boxes = np.array([box for k, box in found if k == kind])
        assert len(boxes) / len(paths) == pytest.approx(mean, abs=0.05)
        assert np.median(boxes[:, 3] - boxes[:, 1]) == pytest.approx(height, abs=1)
        assert np.median(boxes[:, 2] - boxes[:, 0]) == pytest.approx(width, abs=1)


def test_some_drives_and_some_of_their_frames(tmp_path):
    names = {
        "train": ("0001TP_006690", "0001TP_006720", "0001TP_006750", "0006R0_f00930", "0016E5_00390"),
        "val": ("0016E5_07959",),
    }
    for split, of in names.items():
        for name in of:
            trees.save(tmp_path / split / f"{name}.png", np.full((2, 6, 3), 90, np.uint8))
            trees.save(tmp_path / f"{split}annot" / f"{name}.png", np.arange(12, dtype=np.uint8).reshape(2, 6))

    def found(sequences):
        builder = camvid.Builder(tmp_path, tmp_path / "cache", sequences=sequences)
        return {split: [example.id for example in examples] for split, examples in builder.splits.items()}

    one, two, three = names["train"][:3]
    assert found(("0016E5", "0006R0")) == {"train": ["0006R0_f00930", "0016E5_00390"], "val": ["0016E5_07959"]}
    assert found("0001TP[:2]") == {"train": [one, two]}
    assert found(("0001TP[2:]", "0006R0")) == {"train": [three, "0006R0_f00930"]}
    assert found("0001TP[-1:]") == {"train": [three]}
    assert found(()) == {split: [*of] for split, of in names.items()}
    for wrong in ("0001tp", "0001TP[1]", "0001TP[-:]", 7):
        with pytest.raises(ValueError, match="Expected sequences of CamVid: 0001TP, 0006R0, 0016E5, Seq05VD"):
            found((wrong,))
    with pytest.raises(ValueError, match="Expected frames of the sequences"):
        found("0001TP[3:]")
    # Records of all frames are not taken for records of some.
    whole = input_pipeline.prepare("camvid", str(tmp_path), str(tmp_path / "cache")).directory
    with pytest.raises(ValueError, match="Expected records prepared with sequences="):
        input_pipeline.prepare("camvid(sequences='0006R0')", str(whole))
