"""Boxes: they are read from three kinds of annotations, written to records, and come out of streams."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import input_pipeline
from input_pipeline import boxes, pipeline
from input_pipeline.source import annotations
from input_pipeline.source.listing import Part
from tests.input_pipeline import trees


def read(path, by_name, size):
    """(boxes, classes) of an annotation of an image of `size`."""
    record = annotations.annotation(path, by_name).read().within(size).record(size)
    return record["boxes"].tolist(), record["box_classes"].tolist()


def xml(objects, size=(40, 60), mark=""):
    """PASCAL VOC's annotation of (name, x1, y1, x2, y2) objects in an image of (height, width)."""
    rows = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>"
        "</object>"
        for name, x1, y1, x2, y2 in objects
    )
    return f"{mark}<annotation><size><width>{size[1]}</width><height>{size[0]}</height></size>{rows}</annotation>"


def test_a_real_annotation_of_another_size_and_with_a_byte_order_mark():
    folder = trees.sample("camvid_bbox_guanfuchen")
    width, height = Image.open(folder / "0006R0_f00930.png").size
    found, classes = read(folder / "0006R0_f00930.xml", {"car": 8, "signsymbol": 6}, (height, width))
    # The file says 960x720, the image has 480x360: half of [713, 373, 745, 392], [578, 356, 611, 401] (a sign),
    # [683, 370, 712, 394] and [200, 335, 278, 403]. Poles, cones, texts and the pickup are left out.
    assert found == [
        [356.5, 186.5, 372.5, 196],
        [289, 178, 305.5, 200.5],
        [341.5, 185, 356, 197],
        [100, 167.5, 139, 201.5],
    ]
    assert classes == [8, 6, 8, 8]


def test_real_annotations_of_voc(tmp_path):
    data = trees.sample("voc_labelme")
    prepared = input_pipeline.prepare("pascal_voc(boxes=True)", str(data), str(tmp_path))
    examples = [e for split in prepared.splits for e in prepared.encoded(split).as_numpy_iterator()]
    found = {e["id"].decode(): (e["boxes"], e["box_classes"].tolist()) for e in examples}
    np.testing.assert_allclose(found["2011_000003"][0], [[191, 107.369, 313, 329.369], [365, 83, 500, 333]], atol=1e-3)
    assert [found[name][1] for name in sorted(found)] == [[15, 15], [15] * 4, [6, 6, 7]], "persons; buses and a car"
    assert max(prepared.boxes.values()) == 4


def polygons(path, objects, size=(40, 60)):
    path.write_text(json.dumps({"imgHeight": size[0], "imgWidth": size[1], "objects": objects}))


def test_boxes_around_polygons(tmp_path):
    polygons(
        tmp_path / "a.json",
        [
            {"label": "road", "polygon": [[0, 0], [60, 0], [60, 40]]},
            {"label": "car", "polygon": [[10, 12], [30, 8], [28, 20], [5, 15]]},
            {"label": "cargroup", "polygon": [[1, 1], [2, 1], [2, 2]]},
            {"label": "person", "polygon": [[1, 1], [2, 1], [2, 2]], "deleted": 1},
            {"label": "person", "polygon": [[50, 30], [70, 30], [70, 45]]},  # over the edge of the image
            {"label": "person", "polygon": [[61, 30], [70, 30], [70, 45]]},  # beyond it
        ],
    )
    found, classes = read(tmp_path / "a.json", {"car": 13, "person": 11}, (40, 60))
    assert found == [[5, 8, 30, 20], [50, 30, 60, 40]]
    assert classes == [13, 11]
    assert read(tmp_path / "a.json", {"car": 13}, (20, 30)) == ([[2.5, 4, 15, 10]], [13]), "of an image half as large"


def test_cityscapes_has_boxes_of_things(tmp_path):
    for split in ("train", "val"):
        stem = f"{split}/aachen/aachen_000000_000000"
        trees.save(tmp_path / f"data/leftImg8bit/{stem}_leftImg8bit.png", np.zeros((4, 6, 3), np.uint8))
        trees.save(tmp_path / f"data/gtFine/{stem}_gtFine_labelIds.png", np.full((4, 6), 7, np.uint8))
        objects = [{"label": "sky", "polygon": [[0, 0], [6, 0], [6, 4]]}]
        objects += [{"label": "rider", "polygon": [[1, 1], [3, 1], [3, 4]]}] * 2 if split == "train" else []
        polygons(tmp_path / f"data/gtFine/{stem}_gtFine_polygons.json", objects, (4, 6))
    prepared = input_pipeline.prepare("cityscapes(boxes=True)", str(tmp_path / "data"), str(tmp_path / "cache"))
    assert prepared.boxes == {"train": 2, "val": 0}
    (train,), (val,) = (prepared.encoded(s).as_numpy_iterator() for s in ("train", "val"))
    assert train["boxes"].tolist() == [[1, 1, 3, 4]] * 2
    assert train["box_classes"].tolist() == [12, 12]
    assert val["boxes"].shape == (0, 4)


def test_a_text_list(tmp_path, caplog):
    path = tmp_path / "boxes.txt"
    path.write_text("a.jpg 1 2 3 4 7 10 20 30.5 40 9\n\nb/c 5 6 7 8 255\nnowhere.png\n", encoding="utf-8-sig")
    found = annotations.listed(path, {7: 0, 9: 1, 255: 255}, ["a", "b/c", "d"])
    got = {name: part.read().within((50, 50)).record((50, 50)) for name, part in found.items()}
    assert {name: (g["boxes"].tolist(), g["box_classes"].tolist()) for name, g in got.items()} == {
        "a": ([[1, 2, 3, 4], [10, 20, 30.5, 40]], [0, 1]),
        "b/c": ([], []),  # its one box is of an ignored class
        "d": ([], []),
    }
    assert "1 names of" in caplog.text
    assert "nowhere" in caplog.text
    for line in ("a.jpg 1 2 3 4", "a.jpg 1 2 3 4 8", "a.jpg 1 2 3 x 7"):
        path.write_text(line)
        with pytest.raises(ValueError, match=r"ids 7, 9.*boxes\.txt, line 1"):
            annotations.listed(path, {7: 0, 9: 1}, ["a"])


def test_a_list_of_boxes_whose_names_have_blanks(tmp_path):
    path = tmp_path / "boxes.txt"
    path.write_text("photo 1.jpg 1 2 3 4 7\nphoto 2.jpg\nplain 1 2 3 4 7 5 6 7 8 7\n", encoding="utf-16")
    found = annotations.listed(path, {7: 0}, ["photo 1", "photo 2", "plain"])
    assert {name: part.read().boxes.tolist() for name, part in found.items()} == {
        "photo 1": [[1, 2, 3, 4]],
        "photo 2": [],
        "plain": [[1, 2, 3, 4], [5, 6, 7, 8]],
    }
    path.write_text("Straße 1 2 3 4 7\n", encoding="cp1252")
    with pytest.raises(ValueError, match=r"boxes\.txt.*Save it as UTF-8"):
        annotations.listed(path, {7: 0}, [])


def test_annotations_of_another_encoding_are_named(tmp_path):
    (tmp_path / "a.json").write_bytes('{"objects": [], "city": "Köln", "imgHeight": 2, "imgWidth": 2}'.encode("cp1252"))
    with pytest.raises(ValueError, match=r"a\.json.*Save it as UTF-8"):
        annotations.annotation(tmp_path / "a.json", {}).read()


def folder(root, names=("a", "b", "c"), size=(40, 60)):
    """Images with masks that paint class 1 into the box [10, 5, 30, 25] and class 2 into [40, 20, 55, 38]."""
    label = np.zeros(size, np.uint8)
    label[5:25, 10:30], label[20:38, 40:55] = 1, 2
    for name in names:
        trees.save(root / f"images/{name}.png", np.repeat(label[..., None] * 100, 3, -1))
        trees.save(root / f"masks/{name}.png", label)
        annotation = root / f"boxes/{name}.xml"
        annotation.parent.mkdir(parents=True, exist_ok=True)
        annotation.write_text(xml([("Wall", 10, 5, 30, 25), ("roof", 40, 20, 55, 38), ("cat", 0, 0, 9, 9)], size))
    (root / "classes.csv").write_text("id,name\n0,ground\n1,wall\n2,roof\n")
    return root


def prepare(tmp_path, spec='folder(boxes="boxes", val_fraction=0.0)', **options):
    return input_pipeline.prepare(spec, str(tmp_path / "data"), str(tmp_path / "cache"), **options)


def test_a_folder_with_annotations_or_a_list(tmp_path):
    root = folder(tmp_path / "data", ("a", "deep/b"))
    (root / "boxes/deep/b.xml").unlink()
    polygons(root / "boxes/deep/b.json", [{"label": "roof", "polygon": [[1, 2], [5, 2], [5, 9]]}])
    (root / "boxes.txt").write_text("deep/b.png 1 2 3 4 2\n")
    wanted = {
        'folder(boxes="boxes", val_fraction=0.0)': {
            "a": ([[10, 5, 30, 25], [40, 20, 55, 38]], [1, 2]),
            "deep/b": ([[1, 2, 5, 9]], [2]),
        },
        'folder(boxes="boxes.txt", val_fraction=0.0)': {"a": ([], []), "deep/b": ([[1, 2, 3, 4]], [2])},
    }
    for spec, expected in wanted.items():
        examples = prepare(tmp_path, spec).encoded("train").as_numpy_iterator()
        assert {e["id"].decode(): (e["boxes"].tolist(), e["box_classes"].tolist()) for e in examples} == expected
    with pytest.raises(FileNotFoundError, match=r"no .*boxes\.csv"):
        prepare(tmp_path, 'folder(boxes="boxes.csv")')


def test_boxes_shrink_with_their_image(tmp_path):
    folder(tmp_path / "data", ("a",))
    (example,) = prepare(tmp_path, max_size=30).encoded("train").as_numpy_iterator()  # 60 pixels become 30
    assert example["boxes"].tolist() == [[5, 2.5, 15, 12.5], [20, 10, 27.5, 19]]


def test_a_changed_annotation_is_noticed(tmp_path):
    root = folder(tmp_path / "data", ("a",))
    before = prepare(tmp_path)
    (root / "boxes/a.xml").write_text(xml([("wall", 1, 2, 3, 4)]))
    after = prepare(tmp_path)
    assert after.directory != before.directory
    assert next(after.encoded("train").as_numpy_iterator())["boxes"].tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Expected a file"),
        ("", "empty file"),
        ("<annotation><object>", "whole file"),
        ("<annotation><object><name>wall</name></object></annotation>", r"boxes of PASCAL VOC"),
        (xml([("wall", 30, 5, 10, 25)]), r"x1 < x2.*\[30\.0, 5\.0, 10\.0, 25\.0\]"),
        (xml([("wall", "nan", 5, 10, 25)]), r"x1 < x2"),
        (xml([("wall", 1, 2, 3, 4)], size=(40, 40)), r"60 x 40 \(width x height\)\. Received: boxes in 40 x 40"),
    ],
    ids=["none", "empty", "cut", "no box", "reversed", "no number", "another shape"],
)
def test_a_bad_annotation_is_named(content, message, tmp_path):
    root = folder(tmp_path / "data", ("a",))
    (root / "boxes/a.xml").unlink()
    if content is not None:
        (root / "boxes/a.xml").write_text(content)
    with pytest.raises(ValueError, match=rf"(?s)a\.xml \(boxes of a\.xml\): .*{message}"):
        prepare(tmp_path)


def test_an_annotation_that_does_not_know_the_size_is_of_the_images(tmp_path):
    (tmp_path / "a.xml").write_text(xml([("wall", 1, 2, 3, 4)], size=(0, 0)))
    assert read(tmp_path / "a.xml", {"wall": 0}, (40, 60)) == ([[1, 2, 3, 4]], [0])


def test_streams_hold_as_many_boxes_for_every_image(tmp_path):
    root = folder(tmp_path / "data")
    (root / "boxes/b.xml").write_text(xml([]))
    (root / "boxes/c.xml").write_text(xml([("roof", 1, 1, 59, 39)]))
    prepared = prepare(tmp_path)
    assert prepared.boxes == {"train": 2}
    stream = pipeline.training(prepared, augment="affine(flip=True)", crop_size=(40, 60), batch_size=3, seed=0)
    assert stream.element_spec["boxes"] == tf.TensorSpec([3, 2, 4], tf.float32)
    assert stream.element_spec["box_classes"] == tf.TensorSpec([3, 2], tf.int32)
    for batch in itertools.islice(stream.as_numpy_iterator(), 3):
        assert batch["box_classes"][list(batch["id"]).index(b"b")].tolist() == [boxes.NONE] * 2
    (batch,) = pipeline.evaluation(prepared, "train", batch_size=3).as_numpy_iterator()
    found = {
        i.decode(): (c.tolist(), b.tolist())
        for i, c, b in zip(*map(batch.get, ("id", "box_classes", "boxes")), strict=True)
    }
    assert found == {
        "a": ([1, 2], [[10, 5, 30, 25], [40, 20, 55, 38]]),
        "b": ([-1, -1], [[0] * 4] * 2),
        "c": ([2, -1], [[1, 1, 59, 39], [0] * 4]),
    }


def test_without_boxes_nothing_is_added(tmp_path):
    folder(tmp_path / "data")
    prepared = prepare(tmp_path, "folder(val_fraction=0.0)")
    assert prepared.boxes == {}
    assert "boxes" not in json.loads((prepared.directory / "statistics.json").read_text())
    assert "boxes" not in (prepared.directory / "features.json").read_text()
    stream = pipeline.training(prepared, augment="", crop_size=(8, 8), batch_size=1, seed=0)
    for dataset in (stream, pipeline.evaluation(prepared, "train", 1), prepared.encoded("train")):
        assert dataset.element_spec.keys() == {"image", "label", "id"}


def test_records_without_boxes_are_not_taken_for_some_with(tmp_path):
    folder(tmp_path / "data", ("a",))
    with_boxes, without = prepare(tmp_path), prepare(tmp_path, "folder(val_fraction=0.0)")
    assert input_pipeline.prepare('folder(boxes="boxes")', str(with_boxes.directory)).boxes == {"train": 2}
    with pytest.raises(ValueError, match=r"prepared with boxes='boxes'\. .*prepared with boxes=''"):
        input_pipeline.prepare('folder(boxes="boxes")', str(without.directory))


def test_annotations_in_an_archive(tmp_path):
    folder(tmp_path / "data", ("a",))
    content = (tmp_path / "data/boxes/a.xml").read_bytes()
    part = annotations.annotation(Part(tmp_path / "all.zip", "boxes/a.xml", lambda: content), {"wall": 1})
    assert str(part) == f"{tmp_path}/all.zip (boxes of boxes/a.xml)"
    assert part.read().within((40, 60)).record((40, 60))["boxes"].tolist() == [[10, 5, 30, 25]]
