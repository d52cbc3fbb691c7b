"""The inputs that --mode=convert refuses, and its messages."""

import numpy as np
import pytest

import input_pipeline
from input_pipeline.source import foreign
from tests.input_pipeline import exports
from tfseg.config import Config
from tfseg.convert import convert

BOX = [[0, 0], [2, 0], [2, 2], [0, 2]]


def run(tmp_path, **options):
    options = {"data_dir": str(tmp_path / "export"), "output_dir": str(tmp_path / "out")} | options
    return convert(Config(mode="convert", **options))


@pytest.fixture
def source(tmp_path):
    """Two labelme files."""
    for name in "ab":
        exports.image(tmp_path / "export" / f"{name}.jpg", (16, 24))
        exports.write(tmp_path / "export" / f"{name}.json", exports.labelme([exports.shape("x", BOX)], f"{name}.jpg"))
    return tmp_path / "export"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "b.json: Expected whole JSON"),
        (exports.labelme([exports.shape("x", BOX), exports.shape("x", BOX[:2])], "b.jpg"), r"b.json: polygon 1 \(x\) has 2"),
        (exports.labelme([exports.shape("x", [[0, 0], [1, None], [2, 2]])], "b.jpg"), r"b.json: polygon 0 \(x\)"),
        (exports.labelme([exports.shape("x", BOX)], "c.jpg"), "b.json: Expected the image c.jpg"),
        (exports.labelme([exports.shape("x", BOX)], "b.jpg", (24, 16)), "b.json: Expected an annotation of the image's size"),
        (exports.labelme([exports.shape("x", BOX)], "a.jpg"), "b.json: Expected each image once. Received: a.jpg, also in a"),
        (exports.labelme([{"points": BOX}], "b.jpg"), "b.json: shape 0 has no label"),
        (exports.labelme([exports.shape("x", [[0, 0, 1], [4, 0, 1]])], "b.jpg"), r"polygon 0 \(x\): expected points x, y"),
        (exports.labelme(3, "b.jpg"), "something else"),
        (exports.labelme([exports.shape("X", BOX)], "b.jpg"), "differ by more than case and spaces. Received: 'X', 'x'"),
    ],
)  # fmt: skip
def test_faults_are_listed_and_nothing_is_written(source, tmp_path, content, message):
    exports.write(source / "b.json", content)
    with pytest.raises(ValueError, match=message):
        run(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["export"]


def test_faults_of_all_files_come_before_missing_classes(source, tmp_path):
    (source / "a.json").unlink()
    exports.write(source / "b.json", exports.labelme([exports.shape("x", BOX[:2])], "b.jpg"))
    with pytest.raises(ValueError, match=r"b\.json: polygon 0 \(x\) has 2 points"):
        run(tmp_path)
    exports.write(source / "b.json", exports.labelme([], "b.jpg"))
    with pytest.raises(ValueError, match=r"at least two classes\. Received: background"):
        run(tmp_path)


def test_skip_bad_leaves_the_faults_out_and_lists_them(source, tmp_path, capsys):
    exports.write(source / "b.json", exports.labelme([exports.shape("x", BOX[:2])], "b.jpg"))
    run(tmp_path, skip_bad=True)
    assert sorted(p.name for p in (tmp_path / "out" / "masks").iterdir()) == ["a.png"]
    assert "1 with errors are left out" in capsys.readouterr().out
    assert "b.json: polygon 0 (x) has 2 points" in (tmp_path / "out" / "conversion.txt").read_text()


def test_photos_turned_by_exif_need_upright_annotations(source, tmp_path, capsys):
    exports.image(source / "b.jpg", (24, 16), orientation=6)  # upright it is 16 high and 24 wide
    run(tmp_path)
    assert "1 images are turned by EXIF" in capsys.readouterr().out
    exports.write(source / "b.json", exports.labelme([exports.shape("x", BOX)], "b.jpg", (24, 16)))
    with pytest.raises(ValueError, match="drawn before it was turned"):
        run(tmp_path, output_dir=str(tmp_path / "other"))


def test_cut_images_are_found(source, tmp_path):
    data = (source / "b.jpg").read_bytes()
    (source / "b.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"b\.jpg: Expected a whole file"):
        run(tmp_path)


def test_nothing_is_overwritten_but_an_earlier_conversion(source, tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match="Add --overwrite"):
        run(tmp_path)
    (source / "b.json").unlink()
    run(tmp_path, overwrite=True)
    assert sorted(p.name for p in (tmp_path / "out" / "images").iterdir()) == ["a.jpg"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other files"):
        run(tmp_path, output_dir=str(tmp_path / "mine"), overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").is_file()
    with pytest.raises(ValueError, match="outside of --data_dir"):
        run(tmp_path, output_dir=str(tmp_path), overwrite=True)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run(tmp_path, data_dir=str(tmp_path / "nowhere"))


def test_an_output_below_the_export_is_no_part_of_it(source, tmp_path):
    inside = str(source / "converted")
    run(tmp_path, output_dir=inside)
    run(tmp_path, output_dir=inside, overwrite=True)
    assert sorted(p.name for p in (source / "converted" / "masks").iterdir()) == ["a.png", "b.png"]


def test_images_of_one_name_get_names_of_their_own(source, tmp_path):
    exports.image(source / "a.png", (16, 24))
    exports.write(source / "c.json", exports.labelme([exports.shape("x", BOX)], "a.png"))
    run(tmp_path)
    assert sorted(p.name for p in (tmp_path / "out" / "images").iterdir()) == ["a_jpg.jpg", "a_png.png", "b.jpg"]
    assert sorted(p.name for p in (tmp_path / "out" / "masks").iterdir()) == ["a_jpg.png", "a_png.png", "b.png"]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [6, 8], "counts": [42, 2]}, "sum up to 48 pixels"),
        ({"size": [8, 6], "counts": [48]}, r"an image of 6 x 8 \(height x width\)"),
        ({"size": [6, 8], "counts": "0"}, "sum up to 48 pixels"),  # a run of none, which pycocotools takes
        ({"size": [6, 8], "counts": "P"}, "they are cut"),
        ({"size": [6, 8], "counts": "! "}, "the character '!'"),
        ([[0, 0, 1, 1]], r"annotations.json \(a.png\): annotation 0, polygon 0 has 2 points"),
        ([[0, 0, 1, 1, 2]], "annotation 0 has a polygon of 5 numbers"),
        ("text", "annotations.json"),
    ],
)
def test_coco_segmentations_at_fault(tmp_path, segmentation, message):
    exports.image(tmp_path / "export" / "a.png")
    exports.write(tmp_path / "export" / "annotations.json", exports.coco([(1, segmentation)], [(1, "cat")]))
    with pytest.raises(ValueError, match=message):
        run(tmp_path)


def test_colours_outside_of_labelmap_and_ids_outside_of_classes_csv(tmp_path):
    folder = tmp_path / "export"
    exports.image(folder / "JPEGImages" / "a.png")
    exports.image(folder / "SegmentationClass" / "a.png")
    exports.write(folder / "labelmap.txt", "background:0,0,0::\ncar:0,0,142::\n")
    with pytest.raises(ValueError, match=r"SegmentationClass/a.png: Expected the colours of labelmap.txt"):
        run(tmp_path)
    other = tmp_path / "roboflow"
    exports.write(other / "train" / "_classes.csv", "Pixel Value, Class\n0, background\n1, car\n")
    exports.image(other / "train" / "a.jpg")
    exports.gray(other / "train" / "a_mask.png", np.full((6, 8), 7))
    with pytest.raises(ValueError, match=r"a_mask\.png: Expected the ids 0, 1\. Received: 7 on 48 pixels"):
        run(tmp_path, data_dir=str(other))


def test_exports_given_to_folder_are_named(source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds labelme JSON files. Convert it first: .*--mode=convert"):
        input_pipeline.prepare("folder", str(source), str(tmp_path / "cache"))
    assert foreign.recognise(tmp_path / "nowhere") == ""


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("annotations.xml", "<?xml?>\n<annotations>\n <version>1.1</version>", "a CVAT XML export"),
        ("a.xml", "<annotation><object><bndbox>", r"PASCAL VOC XML files \(boxes\)"),
        ("via.json", {"a.jpg123": {"filename": "a.jpg", "size": 3, "regions": []}}, "VGG Image Annotator"),
        ("project.json", {"_via_settings": {}, "_via_img_metadata": {}}, "VGG Image Annotator"),
        ("labels/a.txt", "0 0.5 0.5 0.1 0.1\n", "YOLO labels that are boxes or key points"),
    ],
)
def test_exports_that_are_not_taken_are_named(tmp_path, name, content, named):
    exports.write(tmp_path / "export" / name, content)
    exports.write(tmp_path / "export" / "classes.txt", "cat\n")
    exports.image(tmp_path / "export" / "images" / "a.png")
    with pytest.raises(ValueError, match=rf"{named}.*\. Export it as COCO JSON"):
        run(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{named}.*, which --mode=convert does not take"):
        input_pipeline.prepare("folder", str(tmp_path / "export"), str(tmp_path / "cache"))


def test_unknown_folders_and_two_tools_in_one(source, tmp_path):
    exports.image(tmp_path / "plain" / "a.png")
    with pytest.raises(ValueError, match="which holds none of them"):
        run(tmp_path, data_dir=str(tmp_path / "plain"))
    exports.write(source / "coco" / "c.json", exports.coco([(1, [[0, 0, 1, 1, 2, 2]])], [(1, "cat")]))
    with pytest.raises(ValueError, match=r"which holds COCO JSON, labelme JSON files\. Give the folder of one"):
        run(tmp_path)


def test_a_cut_coco_file_beside_a_whole_one_is_at_fault(tmp_path):
    for split in ("train", "val"):
        exports.image(tmp_path / "export" / split / "a.png")
        content = exports.coco([(1, [[0, 0, 2, 0, 2, 2]])], [(1, "cat")])
        exports.write(tmp_path / "export" / split / "_annotations.coco.json", content)
    with (tmp_path / "export" / "train" / "_annotations.coco.json").open("r+") as file:
        file.truncate(40)
    with pytest.raises(ValueError, match=r"train/_annotations\.coco\.json: Expected whole JSON"):
        run(tmp_path)


def test_coco_boxes_are_no_masks(tmp_path):
    exports.image(tmp_path / "export" / "a.png")
    exports.write(tmp_path / "export" / "x.json", exports.coco([(1, [])], [(1, "cat")]))
    with pytest.raises(ValueError, match="boxes are no masks"):
        run(tmp_path)
