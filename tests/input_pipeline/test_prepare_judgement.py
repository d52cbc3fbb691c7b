"""The judgement from all masks together: check and preparation give the same message, and nothing is written."""

import json
import logging
import os
import re

import cv2
import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline import checking
from input_pipeline.datasets import folder
from input_pipeline.preparation.convert import Conversion
from input_pipeline.preparation.counts import Counts
from input_pipeline.preparation.judgement import Tally, found, hints
from input_pipeline.source import files
from input_pipeline.source.class_tables import Class, Implied
from input_pipeline.source.masks import Mask
from tfseg import prepare as prepare_lib
from tfseg.config import Config

SHAPE = (6, 8)
TABLE = "id,name\n0,background\n1,object\n"


@pytest.fixture
def tree(tmp_path):
    return tmp_path / "data"


def write(tree, masks, table=TABLE, images=None):
    """A folder of images; the upper three rows of a mask have the first of two values, the lower three the second."""
    for kind in ("images", "masks"):
        (tree / kind).mkdir(parents=True, exist_ok=True)
    (tree / "classes.csv").write_text(table)
    for i, mask in enumerate(masks):
        image = np.random.default_rng(i).integers(0, 256, (*SHAPE, 3), np.uint8) if images is None else images[i]
        cv2.imwrite(str(tree / f"images/m{i}.png"), image)
        if not isinstance(mask, Image.Image):
            mask = Image.fromarray(halves(*mask))
        mask.save(tree / f"masks/m{i}.png")
    return tree


def halves(first, second):
    return np.repeat(np.array([first, second], np.uint8), 24).reshape(SHAPE)


def one_bit(first, second):
    return Image.fromarray(halves(first, second) > 0)


def prepare(tree, spec="folder(val_fraction=0.0)", **options):
    return input_pipeline.prepare(spec, str(tree), str(tree.parent / "cache"), **options)


def labels(tree, **options):
    examples = prepare(tree, **options).encoded("train").map(input_pipeline.decode)
    return {e["id"].decode(): e["label"] for e in examples.as_numpy_iterator()}


MIXED = r"2 masks hold 0 and 255 only \(.*m0\.png, .*m1\.png\), and 1 hold ids without 255 \(.*m2\.png\)"
THREE = "id,name\n0,a\n1,b\n2,c\n"
GRAY_COLORS = "id,name,r,g,b\n0,a,40,40,40\n1,b,90,90,90\n2,c,0,9,0\n"
FAULTS = {
    "1-bit beside 8-bit": (TABLE, [(0, 255), (255, 0), one_bit(0, 1)], MIXED),
    "0 and 1 beside 0 and 255": (TABLE, [(0, 255), (0, 255), (0, 1)], MIXED),
    "an object that fills its image": (TABLE, [(0, 255), (255, 255), (1, 1)], MIXED),
    "three classes": (THREE, [(0, 255), (0, 255), (2, 1)], MIXED),
    "0 and 255 in all": (
        TABLE,
        [(0, 255), (0, 255)],
        r"hold 0 and 255 only, and 255 is ignored: give object the id 255",
    ),
    "0 and 255 of three classes": (THREE, [(0, 255), (0, 255)], r"give one of b, c the id 255"),
    "spread": (THREE, [(0, 128), (128, 255)], r"The ids are spread.*0 is a, 128 is b, 255 is c"),
    "counted from 1": (THREE, [(1, 2), (3, 2)], r"one higher than in the class table"),
    "grays and ids": (
        GRAY_COLORS,
        [(40, 90), (1, 2)],
        r"Some gray masks hold the grays.*m0\.png\), others hold ids \(.*m1",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_check_finds_it_and_preparation_stops(kind, tree):
    table, masks, message = FAULTS[kind]
    write(tree, masks, table)
    findings = checking.check("folder(val_fraction=0.0)", str(tree)).findings
    assert any(re.search(message, line) for line in findings), findings
    with pytest.raises(ValueError, match=message):
        prepare(tree)
    assert not list((tree.parent / "cache").glob("*/*/*/statistics.json"))


def test_splits_are_judged_together(tree):
    """A small val split in which everything is ignored is no fault if train shows what 255 means."""
    write(tree, [(0, 1), (1, 255), (0, 255)])
    for name in ("train", "val"):
        (tree / f"{name}.txt").write_text({"train": "m0\nm1\n", "val": "m2\n"}[name])
    assert prepare(tree, "folder").splits == {"train": 2, "val": 1}
    assert checking.check("folder", str(tree)).findings == []


@pytest.mark.parametrize(
    ("table", "masks"),
    [
        ("id,name\n0,background\n1,object\n255,ignore\n", [(0, 255), (0, 1)]),  # the table says what 255 is
        (TABLE, [(0, 255), (0, 1), (1, 255)]),  # and here a mask does
        (TABLE, [one_bit(0, 1), (0, 1)]),
        ("id,name\n0,background\n255,object\n", [(0, 255), (255, 255)]),
    ],
)
def test_masks_that_are_right(table, masks, tree):
    write(tree, masks, table)
    assert checking.check("folder(val_fraction=0.0)", str(tree)).findings == []
    assert len(labels(tree)) == len(masks)


def test_what_is_only_likely_stops_nothing_that_was_asked_for(tree):
    write(tree, [(0, 1), (0, 1), (1, 2)])
    with pytest.raises(
        ValueError, match=r"1 of 3 with an error.*nothing was written\. All masks together: There is one id more"
    ):
        prepare(tree)
    assert prepare(tree, skip_bad=True).splits == {"train": 2}
    write(tree, [(1, 2), (1, 2), (2, 3)], THREE)
    with pytest.raises(ValueError, match=r"count from 1"):
        prepare(tree, skip_bad=True)


def test_colours_of_a_palette_become_the_right_classes(tree):
    """Generator 01 of ../shared/faults, through preparation, check and its pictures."""
    table = "id,name,r,g,b\n0,ground,40,40,40\n1,house,220,60,60\n"
    palette = Image.frombytes("P", SHAPE[::-1], halves(0, 1).tobytes())
    palette.putpalette([220, 60, 60, 40, 40, 40])
    write(tree, [palette, (0, 1)], table)
    expected = {"m0": halves(1, 0), "m1": halves(0, 1)}
    for name, label in labels(tree).items():
        np.testing.assert_array_equal(label, expected[name])
    report = checking.check("folder(val_fraction=0.0)", str(tree))
    assert report.findings == []
    assert [(v.name, v.pixels) for v in report.values.values() if v.images] == [
        ("ground", 24), ("ground", 24), ("house", 24), ("house", 24),
    ]  # fmt: skip
    assert report.notes == [
        "1 palette masks are read by their colours, which are the table's in another order: "
        + str(tree / "masks/m0.png")
    ]
    for tile in report.tiles:
        np.testing.assert_array_equal(tile.label, expected[tile.id])
    palette.putpalette([220, 60, 60, 1, 2, 3])
    palette.save(tree / "masks/m0.png")
    conflict = r"m0\.png: Expected a palette in the colours.*index 1 is \(1, 2, 3\), no colour of the table"
    assert re.search(conflict, checking.check("folder(val_fraction=0.0)", str(tree)).findings[0])
    with pytest.raises(ValueError, match=conflict):
        prepare(tree)


def test_a_row_of_minus_one_is_ignored(tmp_path):
    rows = [(Class("a", None, 0), 0), (Class("b", None, 1), 1), (Class("ignore", None, -1), 255)]
    rows.append((Implied("ignore", None, 255), 255))
    cv2.imwrite(str(tmp_path / "mask.tif"), np.array([[-1, 0, 1]], np.int16))
    reading = Conversion(rows).reading(Mask(files.read_mask(tmp_path / "mask.tif")))
    assert reading.lookup(reading.codes).tolist() == [[255, 0, 1]]


def test_a_tally_in_parts_is_the_same_whole():
    rows = [(Class("a", None, 0), 0), (Class("b", None, 1), 1), (Implied("ignore", None, 255), 255)]
    lookup = files.Lookup({0: 0, 1: 1, 255: 255})
    parts = []
    for name, values in (("x", (0, 255)), ("y", (0, 1))):
        counts = Counts(2)
        counts.tally.add(found(name, halves(*values), False, lookup), name)
        parts.append(Counts.from_json(json.loads(json.dumps(counts.to_json()))))
    parts[0].merge(parts[1])
    tally = Tally()
    tally.start(rows, [row for row, _ in rows], False)
    tally.merge(parts[0].tally)
    assert [(v.code, v.pixels, v.images, v.name) for v in tally.values.values()] == [
        (0, 48, 2, "a"), (1, 24, 1, "b"), (255, 24, 1, "ignored"),
    ]  # fmt: skip
    assert [hint.text[:32] for hint in hints(tally, rows, True)] == ["1 masks hold 0 and 255 only (x),"]


def deep(i):
    """Gray of 16 bits whose values are 12: 0 to 4080."""
    return np.random.default_rng(i).integers(0, 256, SHAPE).astype(np.uint16) * 16


def test_12_bits_in_16_are_said_and_kept_when_asked(tree, caplog, capsys):
    """Generator 07 of ../shared/faults."""
    images = [deep(i) for i in range(3)]
    for image in images:
        image[0, :2] = 0, 4080
    write(tree, [(0, 1)] * 3, images=images)
    said = "16-bit images use 0..4080 of 65535 and become nearly black: give --image_range=0,4095"
    assert checking.check("folder(val_fraction=0.0)", str(tree)).notes == [f"{said}."]
    with caplog.at_level(logging.WARNING, "absl"):
        plain = prepare(tree)
    assert f"folder train: {said}." in caplog.text
    assert plain.statistics["train"]["image_range"] == [0, 4080, 16]
    config = Config(
        mode="prepare", dataset="folder(val_fraction=0.0)", data_dir=str(tree), cache_dir=str(tree.parent / "cache")
    )
    prepare_lib.prepare(config)
    assert f"train: {said}." in capsys.readouterr().out

    caplog.clear()
    ranged = prepare(tree, image_range="0,4080")
    assert "nearly black" not in caplog.text
    assert "image_range=0_4080" in str(ranged.directory)
    assert ranged.options["image_range"] == "0,4080"
    for example in ranged.encoded("train").map(input_pipeline.decode).as_numpy_iterator():
        # 16 v / 4080 * 255 = v
        np.testing.assert_array_equal(example["image"][..., 1], images[int(example["id"][1:])] // 16)
    assert "become" not in checking.check("folder(val_fraction=0.0)", str(tree), "0,4080").notes[0]
    with pytest.raises(ValueError, match=r"image_range='0,4095'.*image_range='0,4080'"):
        input_pipeline.prepare("folder", str(ranged.directory), image_range="0,4095")
    with pytest.raises(ValueError, match=r"image_range to be blank or LOW,HIGH"):
        prepare(tree, image_range="4095")
    with pytest.raises(ValueError, match=r"--image_range to be blank or LOW,HIGH.*--image_range=9,3"):
        Config(image_range="9,3")


def test_channels_that_are_left_out_are_said(tree, capsys):
    rgba = np.random.default_rng(0).integers(0, 256, (*SHAPE, 4), np.uint8)
    write(tree, [(0, 1)] * 2, images=[rgba, 255 - rgba[..., :3]])
    assert checking.check("folder(val_fraction=0.0)", str(tree)).notes == [
        "1 images have an alpha channel, which is left out: train/m0"
    ]
    prepared = prepare(tree)
    assert prepared.statistics["train"]["left_out"] == {"an alpha channel": 1}
    prepare_lib.prepare(Config(mode="prepare", dataset="folder", data_dir=str(prepared.directory)))
    assert "1 images of train have an alpha channel, which is left out." in capsys.readouterr().out


def test_statistics_of_plain_images_have_no_further_entries(tree):
    write(tree, [(0, 1)] * 2)
    assert not {"image_range", "left_out"} & prepare(tree).statistics["train"].keys()


def test_records_made_before_are_found_again(tmp_path):
    """The name of their folder has a hash of the source's listing and of the table, which must not change."""
    tree = tmp_path / "data"
    for name in ("images/a.png", "masks/a.png"):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_bytes(name.encode())
        os.utime(tree / name, (1, 1))
    for table, fingerprint in ((TABLE, "33e409ff6695"), (GRAY_COLORS, "75ff094ac265")):
        (tree / "classes.csv").write_text(table)
        assert folder.Builder(tree, tmp_path).fingerprint == fingerprint
