"""Converts an export of every tool in its own layout; each mask must equal the tool's own drawing, pixel by pixel."""

import csv

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline import checking
from tests.input_pipeline import exports
from tests.input_pipeline.trees import sample
from tfseg.config import Config
from tfseg.convert import convert


def converted(source, output, **options):
    """({path below masks/: ids}, {name: id}) of an export."""
    folder = convert(Config(mode="convert", data_dir=str(source), output_dir=str(output), **options))
    masks = {}
    for path in sorted((folder / "masks").rglob("*.png")):
        with Image.open(path) as mask:
            assert mask.mode == "L"
            masks[path.relative_to(folder / "masks").with_suffix("").as_posix()] = np.array(mask)
    with (folder / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all({"r", "g", "b"} <= set(row) for row in rows)
    assert not checking.check("folder", str(folder)).faults
    return masks, {row["name"]: int(row["id"]) for row in rows}


@pytest.fixture
def source(tmp_path):
    (tmp_path / "export").mkdir()
    return tmp_path / "export"


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


def filled(size, *boxes):
    """A mask with boxes (rows, columns, id), ends included."""
    ids = np.zeros(size, np.uint8)
    for (top, bottom), (left, right), value in boxes:
        ids[top : bottom + 1, left : right + 1] = value
    return ids


def test_labelme_shapes_are_drawn_as_labelme_draws_them(source, output, capsys):
    exports.image(source / "a.png", (16, 24))
    corner = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]], bool)
    shapes = [
        exports.shape("road", [[2, 2], [6, 2], [6, 5], [2, 5]]),
        exports.shape("car", [[12, 3], [10, 1]], "rectangle"),  # drawn from its lower right corner
        exports.shape("car", [[5, 4], [8, 4], [8, 5], [5, 5]], group_id=1),  # over the road
        exports.shape("road", [[18, 12], [20, 14]], "mask", mask=exports.base64_png(corner)),
        exports.shape("__ignore__", [[0, 10], [3, 10], [3, 11], [0, 11]]),
        exports.shape("tree", [[30, 30], [33, 30], [33, 33]]),  # outside
        exports.shape("tree", [[1, 1]], "points"),
    ]
    exports.write(source / "a.json", exports.labelme(shapes))
    masks, classes = converted(source, output)
    assert classes == {"background": 0, "car": 1, "road": 2, "tree": 3, "ignore": 255}
    # Outlines count: a polygon from 2 to 6 covers pixels 2..6.
    expected = filled(
        (16, 24), ((2, 5), (2, 6), 2), ((1, 3), (10, 12), 1), ((4, 5), (5, 8), 1), ((10, 11), (0, 3), 255)
    )
    expected[12:15, 18:21][corner] = 2
    np.testing.assert_array_equal(masks["a"], expected)
    printed = capsys.readouterr().out
    assert "holds labelme JSON files" in printed
    assert "Pixels that nothing covers are the class background, id 0" in printed
    assert "1 shapes that cover no pixel" in printed
    assert "1 shapes of the unknown kind points" in printed


def test_labelme_circles_points_and_lines(source, output, capsys):
    exports.image(source / "a.png", (40, 60))
    shapes = [
        exports.shape("a", [[10, 10], [14, 10]], "circle"),  # of radius 4
        exports.shape("b", [[30, 10]], "point"),  # of radius 5
        exports.shape("c", [[5, 30], [25, 30]], "line"),  # 10 pixels wide
        exports.shape("d", [[40, 30], [55, 30], [55, 38]], "linestrip"),
    ]
    exports.write(source / "a.json", exports.labelme(shapes, size=(40, 60)))
    mask = converted(source, output)[0]["a"]
    assert np.flatnonzero(mask[10, :20]).tolist() == list(range(6, 15))
    assert np.flatnonzero(mask[:20, 10]).tolist() == list(range(6, 15))
    assert mask[6, 6] == mask[14, 14] == 0
    assert np.flatnonzero(mask[10] == 2).tolist() == list(range(25, 36))
    assert (mask[:, 15] == 3).sum() == 10
    assert (mask[:, 45] == 4).sum() == 10
    assert mask[37, 55] == 4
    assert "3 shapes (line or linestrip)" not in (printed := capsys.readouterr().out)
    assert "2 shapes (line or linestrip) are drawn 10 pixels wide" in printed


def test_labelme_images_elsewhere_embedded_and_order_of_labels_txt(source, output):
    exports.image(source / "photos" / "a b.png", (16, 24))
    exports.write(source / "labels.txt", "__ignore__\n_background_\nroof\nfloor\n")
    box = exports.shape("floor", [[0, 0], [1, 0], [1, 1], [0, 1]])
    exports.write(source / "train" / "x.json", exports.labelme([box], "..\\photos\\a b.png"))
    data = exports.base64_png(np.zeros((16, 24, 3), np.uint8))
    exports.write(source / "val" / "y.json", exports.labelme([box], "gone.png", data=data))
    masks, classes = converted(source, output)
    assert classes == {"_background_": 0, "roof": 1, "floor": 2, "ignore": 255}
    assert sorted(masks) == ["train/photos/a b", "val/gone"]
    for mask in masks.values():
        np.testing.assert_array_equal(mask, filled((16, 24), ((0, 1), (0, 1), 2)))
    assert (output / "images" / "val" / "gone.png").is_file()


@pytest.mark.parametrize("packed", [False, True])
def test_coco_polygons_and_run_lengths(source, output, packed):
    exports.image(source / "images" / "a.png")
    inside = filled((6, 8), ((0, 1), (7, 7), 1))
    rle = {"size": [6, 8], "counts": [42, 2, 4]}  # down the columns: 7 of 6 pixels, then rows 0 and 1, then 4 more
    if packed:
        mask = pytest.importorskip("pycocotools.mask")
        rle = mask.encode(np.asfortranarray(inside))
        rle["counts"] = rle["counts"].decode()
    annotations = [
        (3, [[2, 1, 4, 1, 4, 3, 2, 3]]),  # small, and first in the file: stays visible
        (90, [[1, 1, 5, 1, 5, 4, 1, 4], [6, 4, 8, 4, 8, 6, 6, 6]]),  # two parts: pixels 1..4 x 1..3 and 6..7 x 4..5
        (3, rle),
        (3, []),
    ]
    exports.write(source / "annotations.json", exports.coco(annotations, [(3, "cat"), (90, "dog")]))
    masks, classes = converted(source, output)
    assert classes == {"background": 0, "cat": 3, "dog": 90}
    expected = filled((6, 8), ((1, 3), (1, 4), 90), ((4, 5), (6, 7), 90), ((1, 2), (2, 3), 3), ((0, 1), (7, 7), 3))
    np.testing.assert_array_equal(masks["a"], expected)


def test_coco_files_are_splits_and_their_categories_are_joined_by_name(source, output, capsys):
    for split, ids in (("train2017", (1, 2)), ("val2017", (2, 1))):
        exports.image(source / split / "0001.png")
        content = exports.coco([(ids[1], [[0, 0, 2, 0, 2, 2, 0, 2]])], [(ids[0], "cat"), (ids[1], "dog")], "0001.png")
        exports.write(source / "annotations" / f"instances_{split}.json", content)
    exports.write(source / "annotations" / "captions_val2017.json", {"images": [], "annotations": [{"caption": "a"}]})
    masks, classes = converted(source, output)
    assert sorted(masks) == ["train/0001", "val/0001"]
    for mask in masks.values():
        np.testing.assert_array_equal(mask, filled((6, 8), ((0, 1), (0, 1), classes["dog"])))
    printed = capsys.readouterr().out
    assert "ids are not kept" in printed
    assert "captions_val2017.json" in printed


def test_roboflow_coco_leaves_out_the_projects_category(source, output):
    for split in ("train", "valid", "test"):
        exports.image(source / split / "a_jpg.rf.1.png")
        content = exports.coco([(1, [[0, 0, 2, 0, 2, 2, 0, 2]])], [(0, "objects"), (1, "crack")], "a_jpg.rf.1.png")
        content["categories"][1]["supercategory"] = "objects"
        exports.write(source / split / "_annotations.coco.json", content)
    masks, classes = converted(source, output)
    assert classes == {"background": 0, "crack": 1}
    assert sorted(masks) == ["test/a_jpg.rf.1", "train/a_jpg.rf.1", "val/a_jpg.rf.1"]


def test_coco_panoptic(source, output):
    exports.image(source / "val2017" / "a.png")
    segments = [{"id": 300, "category_id": 4, "iscrowd": 0}, {"id": 2, "category_id": 9, "iscrowd": 0}]
    content = exports.coco([], [(4, "sky"), (9, "car")])
    content["annotations"] = [{"image_id": 7, "file_name": "a.png", "segments_info": segments}]
    exports.write(source / "panoptic_val2017.json", content)
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[:3] = (300 % 256, 300 // 256, 0)
    pixels[3, :2] = (2, 0, 0)
    Image.fromarray(pixels).save((source / "panoptic_val2017").mkdir() or source / "panoptic_val2017" / "a.png")
    masks, classes = converted(source, output)
    assert classes == {"background": 0, "sky": 4, "car": 9}
    expected = np.full((6, 8), 255)
    expected[:3], expected[3, :2] = 4, 9
    np.testing.assert_array_equal(masks["a"], expected)


@pytest.mark.parametrize("palette", [False, True])
def test_cvat_colours_become_ids_and_its_background_is_a_class(source, output, palette):
    exports.write(
        source / "labelmap.txt",
        "# label:color_rgb:parts:actions\nroad:128,64,128::\nbackground:0,0,0::\ncar:0,0,142:wheel:drive\n",
    )
    ids = filled((6, 8), ((0, 2), (0, 3), 1), ((4, 4), (5, 7), 2))
    colors = np.array([(0, 0, 0), (128, 64, 128), (0, 0, 142)], np.uint8)
    mask = Image.fromarray(colors[ids])
    if palette:  # in another order than labelmap.txt
        mask = Image.fromarray(2 - ids)
        mask.putpalette(colors[::-1].ravel().tolist())
    (source / "SegmentationClass" / "cam").mkdir(parents=True)
    for name in ("cam/a", "b"):
        mask.save(source / "SegmentationClass" / f"{name}.png")
        exports.image(source / "JPEGImages" / f"{name}.png")
        exports.image(source / "SegmentationObject" / f"{name}.png")
    exports.write(source / "ImageSets" / "Segmentation" / "train.txt", "cam/a\n")
    exports.write(source / "ImageSets" / "Segmentation" / "val.txt", "b\nwithout_a_mask\n")
    masks, classes = converted(source, output)
    assert classes == {"background": 0, "road": 1, "car": 2}
    assert sorted(masks) == ["train/cam/a", "val/b"]
    for found in masks.values():
        np.testing.assert_array_equal(found, ids)


def test_roboflow_masks(source, output, capsys):
    ids = filled((6, 8), ((0, 2), (0, 3), 1), ((4, 4), (5, 7), 4))
    for split in ("train", "valid"):
        exports.write(source / split / "_classes.csv", "Pixel Value, Class\n0, background\n1, car\n4, road\n")
        exports.image(source / split / "a_jpg.rf.0f.jpg")
        exports.gray(source / split / "a_jpg.rf.0f_mask.png", ids)
        exports.image(source / split / "unlabelled.jpg")
    masks, classes = converted(source, output)
    assert classes == {"background": 0, "car": 1, "road": 4}
    assert sorted(masks) == ["train/a_jpg.rf.0f", "val/a_jpg.rf.0f"]
    np.testing.assert_array_equal(masks["val/a_jpg.rf.0f"], ids)
    assert "2 images have no mask and are left out" in capsys.readouterr().out
    original = (source / "valid" / "a_jpg.rf.0f.jpg").read_bytes()
    assert (output / "images" / "val" / "a_jpg.rf.0f.jpg").read_bytes() == original


def test_supervisely_polygons_with_holes_and_bitmaps(source, output, capsys):
    meta = {
        "classes": [{"title": "wall", "shape": "polygon", "color": "#FF0080"}, {"title": "door", "shape": "bitmap"}]
    }
    exports.write(source / "meta.json", meta)
    exports.image(source / "ds1" / "img" / "a.png", (12, 12))
    stamp = [[1, 0], [1, 1]]
    polygon = {"exterior": [[1, 1], [8, 1], [8, 8], [1, 8]], "interior": [[[3, 3], [6, 3], [6, 6], [3, 6]]]}
    objects = [
        {"classTitle": "wall", "geometryType": "polygon", "points": polygon},
        {
            "classTitle": "door",
            "geometryType": "bitmap",
            "bitmap": {"data": exports.supervisely_bitmap(stamp), "origin": [4, 7]},
        },
        {"classTitle": "door", "geometryType": "rectangle", "points": {"exterior": [[10, 0], [11, 2]], "interior": []}},
        {"classTitle": "door", "geometryType": "line", "points": {"exterior": [[0, 0], [1, 1]], "interior": []}},
    ]
    annotation = {"description": "", "tags": [], "size": {"height": 12, "width": 12}, "objects": objects}
    exports.write(source / "ds1" / "ann" / "a.png.json", annotation)
    masks, classes = converted(source, output)
    assert classes == {"background": 0, "wall": 1, "door": 2}
    assert (output / "classes.csv").read_text().splitlines()[2] == "1,wall,255,0,128"
    expected = filled((12, 12), ((1, 8), (1, 8), 1), ((3, 6), (3, 6), 0), ((0, 2), (10, 11), 2))
    expected[7, 4] = expected[8, 4] = expected[8, 5] = 2  # column 4, row 7 is its corner; 0 is transparent
    np.testing.assert_array_equal(masks["a"], expected)
    assert "1 objects of the kind line are left out" in capsys.readouterr().out


def test_label_studio_json(source, output, capsys):
    exports.image(source / "images" / "a.png")
    alpha = filled((6, 8), ((0, 1), (0, 4), 255), ((5, 5), (7, 7), 200), ((5, 5), (0, 1), 100))
    results = [
        exports.result("polygonlabels", "roof", points=[[25, 0], [75, 0], [75, 50], [25, 50]]),  # pixels 2..5 x 0..2
        exports.result("brushlabels", "tree", format="rle", rle=exports.brush(alpha)),
        exports.result("rectanglelabels", "roof", x=50, y=50, width=25, height=50, rotation=0),  # pixels 4..5 x 3..5
        exports.result("keypointlabels", "roof", x=1, y=1, width=1),
    ]
    tasks = [exports.task(results), {**exports.task([], 2, "s3://b/gone.png"), "annotations": []}]
    tasks[0]["annotations"] += [{"id": 9, "result": [], "was_cancelled": True}, {"id": 4, "result": []}]
    exports.write(source / "project-1.json", tasks)
    masks, classes = converted(source, output)
    assert classes == {"background": 0, "roof": 1, "tree": 2}
    expected = filled((6, 8), ((0, 2), (2, 5), 1), ((0, 1), (0, 4), 2), ((5, 5), (7, 7), 2), ((3, 5), (4, 5), 1))
    np.testing.assert_array_equal(masks["a"], expected)
    printed = capsys.readouterr().out
    assert "1 regions of the kind keypointlabels are left out" in printed
    assert "1 tasks without an annotation are left out" in printed


def test_label_studio_turns_rectangles_about_their_corner_and_ellipses_about_their_centre(source, output):
    exports.image(source / "set one" / "a.png", (8, 8))
    results = [
        # From 4, 0, of 4 x 2 pixels, a quarter clockwise: columns 2..3, rows 0..3.
        exports.result("rectanglelabels", "box", (8, 8), x=50, y=0, width=50, height=25, rotation=90),
        # About 4, 6, of radii 4 and 0.9: half a pixel off its centre line it reaches 4 sqrt(1 - 0.25 / 0.81) = 3.3.
        exports.result("ellipselabels", "disc", (8, 8), x=50, y=75, radiusX=50, radiusY=11.25, rotation=0),
    ]
    exports.write(source / "project.json", [exports.task(results, name="/data/local-files/?d=set%20one/a.png")])
    mask = converted(source, output)[0]["a"]
    np.testing.assert_array_equal(mask == 1, filled((8, 8), ((0, 3), (2, 3), 1)))
    np.testing.assert_array_equal(mask == 2, filled((8, 8), ((5, 6), (1, 6), 1)))


def test_label_studio_pngs_find_their_images_in_the_json_or_by_the_task(source, output):
    for number, name in ((11, "a"), (12, "12")):
        exports.image(source / "images" / f"{name}.png")
        exports.gray(
            source / f"task-{number}-annotation-3-by-1-tag-wet-road-0.png", filled((6, 8), ((0, 2), (0, 3), 255))
        )
        exports.gray(source / f"task-{number}-annotation-3-by-1-tag-car-0.png", filled((6, 8), ((2, 2), (3, 7), 255)))
    exports.write(source / "project.json", [exports.task([], 11)])
    masks, classes = converted(source, output)
    assert classes == {"background": 0, "car": 1, "wet-road": 2}
    assert sorted(masks) == ["12", "a"]
    for mask in masks.values():
        np.testing.assert_array_equal(mask > 0, filled((6, 8), ((0, 2), (0, 3), 1), ((2, 2), (3, 7), 1)) > 0)
        assert mask[0, 0] == 2
        assert mask[2, 7] == 1


NAMES = {
    "flow": "names: ['cat', \"big dog\"]\n",
    "block": "names:\n  0: cat\n  1: big dog\n",
    "items": "names:\n- cat\n- big dog\n",
}


@pytest.mark.parametrize("form", NAMES)
def test_yolo_polygons(source, output, form):
    exports.write(source / "data.yaml", f"train: ../train/images\nnc: 2\n{NAMES[form]}roboflow:\n  license: MIT\n")
    for split, name in (("train", "a"), ("valid", "b")):
        exports.image(source / split / "images" / f"{name}.png")
    exports.write(source / "train" / "labels" / "a.txt", "1 0 0 0.5 0 0.5 0.5 0 0.5\n0 0.25 0 0.5 0 0.5 0.5 0.25 0.5\n")
    masks, classes = converted(source, output)
    assert classes == {"background": 0, "cat": 1, "big dog": 2}
    np.testing.assert_array_equal(masks["train/a"], filled((6, 8), ((0, 2), (0, 1), 2), ((0, 2), (2, 3), 1)))
    assert not masks["val/b"].any()


def test_labelmes_voc_export_of_real_files(output, tmp_path):
    real = sample("voc_labelme")
    masks, classes = converted(real, output)
    assert (classes["_background_"], classes["tv/monitor"]) == (0, 20)
    assert sorted(name.split("/")[1] for name in masks) == ["2011_000003", "2011_000006", "2011_000025"]
    for name, mask in masks.items():
        with Image.open(real / "VOCdevkit/VOC2012/SegmentationClass" / f"{name.split('/')[1]}.png") as original:
            np.testing.assert_array_equal(mask, np.array(original))


def test_a_converted_tree_is_prepared(source, output, tmp_path):
    for i in range(5):
        exports.image(source / f"{i}.jpg", (16, 24), seed=i)
        box = exports.shape("a, b", [[i, 2], [6, 2], [6, 5], [i, 5]])
        exports.write(source / f"{i}.json", exports.labelme([box], f"{i}.jpg"))
    masks, _ = converted(source, output)
    prepared = input_pipeline.prepare("folder", str(output), str(tmp_path / "cache"))
    assert prepared.splits == {"train": 4, "val": 1}
    assert [c.name for c in prepared.classes] == ["background", "a, b"]
    for split in prepared.splits:
        for example in prepared.encoded(split).map(input_pipeline.decode).as_numpy_iterator():
            np.testing.assert_array_equal(example["label"], masks[example["id"].decode()])
