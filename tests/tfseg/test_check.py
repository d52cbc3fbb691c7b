"""--mode=check on small trees: its message for each fault, its pictures, and its exit status."""

import dataclasses
import pathlib

import cv2
import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline import checking
from tfseg import check as check_lib
from tfseg import pictures
from tfseg.config import Config
from tfseg.pictures.contact_sheet import CAPTION, GAP, OUTSIDE

SHAPE = (6, 8)  # 48 pixels


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def tree(tmp_path):
    """A clean folder of 4 + 2 images, all different, whose masks are half class a (id 0), half class b (id 1)."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:] = 1
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            image = np.random.default_rng((i, count)).integers(0, 255, (*SHAPE, 3), np.uint8)
            save(tmp_path / f"data/images/{split}/{split}{i}.png", image)
            save(tmp_path / f"data/masks/{split}/{split}{i}.png", mask)
    table(tmp_path / "data", "0,a", "1,b")
    return tmp_path / "data"


def table(tree, *rows, header="id,name"):
    (tree / "classes.csv").write_text("\n".join([header, *rows]) + "\n")


def recode(tree, **ids):
    """Replaces ids in all masks: a=7 writes 7 for class a; c is in the first row."""
    for path in tree.glob("masks/*/*.png"):
        mask = np.asarray(Image.open(path))
        mask = np.where(mask == 0, ids.get("a", 0), ids.get("b", 1)).astype(np.uint8)
        mask[0] = ids.get("c", mask[0, 0])
        save(path, mask)


def findings(tree):
    return "\n".join(checking.check("folder", str(tree)).findings)


def run(tree, **options):
    options = {"dataset": "folder", "data_dir": str(tree), "output_dir": str(tree.parent / "out"), **options}
    return check_lib.check(Config(mode="check", **options))


def test_a_clean_tree(tree, capsys):
    report = run(tree)
    printed = capsys.readouterr().out
    assert report.findings == report.notes == []
    assert report.splits == {"train": 4, "val": 2}
    assert report.sizes == {SHAPE: 6}
    assert report.image_kinds == {"RGB PNG": 6}
    assert report.mask_kinds == {"8-bit gray PNG": 6}
    # 24 of the 48 pixels of each of the 6 masks.
    assert [(v.name, v.pixels, v.images, v.example) for v in report.values.values() if v.images] == [
        ("a", 144, 6, "train/train0"),
        ("b", 144, 6, "train/train0"),
    ]
    for words in ("Findings: none", "8 x 6 (6)", "50.0000", "train          4"):
        assert words in printed
    assert (tree.parent / "out/check_folder.txt").read_text().strip() in printed


def test_findings_end_with_status_1_after_all_is_written(tree):
    (tree / "masks/val/val0.png").unlink()
    with pytest.raises(SystemExit) as stop:
        run(tree)
    assert stop.value.code == 1
    text = (tree.parent / "out/check_folder.txt").read_text()
    assert "Files that cannot be used (1)\n" in text
    assert "val0.png: Expected a file. Received: none" in text
    assert (tree.parent / "out/check_folder.png").is_file()


def test_nothing_is_overwritten_unasked(tree):
    run(tree)
    before = (tree.parent / "out/check_folder.txt").read_text()
    (tree / "masks/val/val0.png").unlink()
    with pytest.raises(ValueError, match=r"no earlier report.*check_folder\.txt.*--overwrite"):
        run(tree)
    assert (tree.parent / "out/check_folder.txt").read_text() == before
    with pytest.raises(SystemExit):
        run(tree, overwrite=True)
    assert (tree.parent / "out/check_folder.txt").read_text() != before


def test_the_report_goes_to_the_workdir_or_here(tree, monkeypatch, tmp_path):
    run(tree, output_dir="", workdir=str(tmp_path / "run"))
    assert (tmp_path / "run/check_folder.txt").is_file()
    monkeypatch.chdir(tmp_path)
    run(tree, output_dir="")
    assert (tmp_path / "check_folder.png").is_file()


def test_every_file_that_cannot_be_used_is_named_and_the_rest_is_read(tree):
    (tree / "images/train/train0.png").write_bytes(b"")
    (tree / "masks/train/train1.png").write_text("<html>")
    save(tree / "masks/train/train2.png", np.zeros(SHAPE, np.uint8), format="JPEG")
    save(tree / "masks/train/train3.png", np.zeros((8, 6), np.uint8))
    report = checking.check("folder", str(tree))
    assert [fault.partition(": ")[0].rpartition("/")[2] for fault in report.faults] == [
        f"train{i}.png" for i in range(4)
    ]
    for words in (
        "empty file",
        "cannot identify image file\n",
        "Received: JPEG",
        "8 x 6 (width x height). Received: 6 x 8",
    ):
        assert words in "\n".join(report.faults)
    assert report.mask_kinds["8-bit gray JPEG"] == 1
    assert sum(v.pixels for v in report.values.values()) == 48 * 4, "masks 0 and 3, and both of val"


def test_an_id_outside_the_table_has_its_share_an_example_and_a_row_to_add(tree):
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, :3] = 9  # 3 of 6 * 48 = 288 pixels: 1.0417 %
    save(tree / "masks/val/val1.png", mask)
    said = findings(tree)
    assert "9: 1.0417 % of the pixels, 1 images, as val/val1: add a row for it, or 9,ignore" in said
    report = checking.check("folder", str(tree))
    tile = next(tile for tile in report.tiles if tile.id == "val1")
    assert tile.label.tolist()[0] == [checking.UNKNOWN] * 3 + [0] * 5


@pytest.mark.parametrize(
    ("ids", "rows", "message"),
    [
        ({"a": 1, "b": 2}, ("0,a", "1,b"), "one higher than in the class table"),
        ({"a": 0, "b": 1, "c": 2}, ("0,a", "1,b"), "one id more than classes. If 0 means unlabelled"),
        ({"a": 0, "b": 255}, ("0,a", "1,b"), "255 is ignored: give b the id 255"),
        ({"a": 100, "b": 200}, ("0,a", "1,b"), "100 is a, 200 is b"),
        ({"a": 0, "b": 1}, ("0,a", "1,b"), ""),
    ],
)
def test_what_the_ids_say_together(ids, rows, message, tree):
    recode(tree, **ids)
    table(tree, *rows)
    assert message in findings(tree)
    assert bool(findings(tree)) == bool(message)


def test_colours(tree):
    for path in tree.glob("masks/*/*.png"):
        save(path, np.array([(250, 0, 10), (0, 200, 0)], np.uint8)[np.asarray(Image.open(path))])
    assert "The masks are in colours, and the class table has none. Give classes.csv the columns r,g,b" in findings(
        tree
    )
    table(tree, "0,a,250,0,10", "1,b,0,200,0", header="id,name,r,g,b")
    assert findings(tree) == ""
    table(tree, "0,a,10,0,250", "1,b,0,205,9", header="id,name,r,g,b")
    said = findings(tree)
    assert "(250, 0, 10): 50.0000 % of the pixels, 6 images, as train/train0: a with red and blue exchanged" in said
    assert "(0, 200, 0): 50.0000 % of the pixels, 6 images, as train/train0: nearly b (0, 205, 9)" in said


def test_masks_full_of_colours_keep_the_report_small(tree):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    save(tree / "images/val/val0.png", noise)
    save(tree / "masks/val/val0.png", noise)
    table(tree, "0,a,250,0,10", "1,b,0,200,0", header="id,name,r,g,b")
    report = checking.check("folder", str(tree))
    assert len(report.values) <= 1000
    assert sum(v.pixels for v in report.values.values()) + report.beyond == 64 * 64 + 5 * 48
    assert "still other values" in report.findings[-1]
    ignoring = dataclasses.replace(report, lenient=True)
    assert [line.startswith("Preparation will ignore these pixels. ") for line in ignoring.notes] == [True, True]
    assert not any("outside" in line for line in ignoring.findings)


def test_the_same_image_in_two_splits_is_found_by_its_pixels(tree):
    image = np.asarray(Image.open(tree / "images/train/train2.png"))
    save(tree / "images/val/val1.png", image, compress_level=0)  # other bytes
    assert "1 image in two splits" in findings(tree)
    assert "val/val1 = train/train2" in findings(tree)
    save(tree / "images/val/val1.png", image + np.uint8(1))
    save(tree / "images/train/train3.png", image)
    report = checking.check("folder", str(tree))
    assert report.findings == []
    assert report.notes == ["1 images that are twice in their split: train/train3 = train/train2"]


def test_files_that_nothing_refers_to(tree):
    mask = np.zeros(SHAPE, np.uint8)
    save(tree / "masks/val/val0_color.png", mask)  # another product of val0, as Cityscapes has
    save(tree / "masks/val/lonely.png", mask)
    (tree / "train.txt").write_text("train/train0\ntrain/train1\ntrain/train2\n")
    (tree / "val.txt").write_text("val/val0\nval/val1\n")
    report = checking.check("folder", str(tree))
    assert [path.rpartition("/")[2] for path in report.alone] == ["lonely.png"]
    assert [path.rpartition("/")[2] for path in report.unlisted] == ["train3.png"], "in no list, with its mask"
    assert len(report.findings) == 1


def test_notes_on_classes_that_never_occur_and_on_exif(tree):
    table(tree, "0,a", "1,b", "2,c")
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    save(tree / "images/val/val0.png", np.zeros((*SHAPE, 3), np.uint8), exif=exif)
    assert checking.check("folder", str(tree)).notes == [
        "1 classes without a pixel: c",
        "1 images turned upright, as their EXIF says: val/val0",
    ]


def test_frames_of_a_video_in_two_splits_are_noted(tmp_path):
    """If chance divides 12 frames and 2 photos; not if the user divides them, or if the frames stay together."""
    for i, name in enumerate([f"clip_{i:04}" for i in range(12)] + ["cat", "dog"]):
        save(tmp_path / f"images/{name}.png", np.full((*SHAPE, 3), i, np.uint8))
        save(tmp_path / f"masks/{name}.png", (np.indices(SHAPE).sum(0) % 2).astype(np.uint8))
    table(tmp_path, "0,a", "1,b")
    (note,) = checking.check("folder(val_fraction=0.5)", str(tmp_path)).notes
    assert note.startswith("1 groups of images have names like frames of one video")
    assert 'folder(group="' in note
    assert "clip_0000 .. clip_0011: " in note
    assert checking.check(r'folder(group="(.*?)(_\d+)?$")', str(tmp_path)).notes == []
    (tmp_path / "train.txt").write_text("".join(f"clip_{i:04}\n" for i in range(6)) + "cat\n")
    (tmp_path / "val.txt").write_text("".join(f"clip_{i:04}\n" for i in range(6, 12)) + "dog\n")
    assert checking.check("folder", str(tmp_path)).notes == []


def test_the_advice_for_an_id_below_0_works(tree):
    """16-bit masks with -1 for unlabelled, as in rasters: check suggests `-1,ignore`, and that row works."""
    mask = np.ones(SHAPE, np.int16)
    mask[:3], mask[0] = 0, -1
    for path in tree.glob("masks/*/*.png"):
        path.unlink()
        cv2.imwrite(str(path.with_suffix(".tif")), mask)
    assert "-1: 16.6667 % of the pixels, 6 images, as train/train0: add a row for it, or -1,ignore" in findings(tree)
    table(tree, "0,a", "-1,ignore", "1,b")
    assert findings(tree) == ""
    report = checking.check("folder", str(tree))
    assert {v.code: v.train_id for v in report.values.values() if v.images} == {0: 0, 1: 1, -1: 255}
    records = input_pipeline.prepare("folder", str(tree), str(tree.parent / "cache"))
    for example in records.encoded("val").map(input_pipeline.decode):
        np.testing.assert_array_equal(example["label"], np.where(mask == -1, 255, mask))


def test_kinds_of_masks(tree):
    mask = np.asarray(Image.open(tree / "masks/train/train0.png"))
    palette = Image.fromarray(mask, mode="L").convert("P")
    palette.putdata(mask.ravel().tolist())
    palette.save(tree / "masks/train/train0.png")
    save(tree / "masks/train/train1.png", mask.astype(np.uint16))
    save(tree / "masks/train/train2.png", np.repeat(mask[..., None], 3, 2))
    report = checking.check("folder", str(tree))
    assert report.mask_kinds == {"palette PNG": 1, "16-bit gray PNG": 1, "RGB PNG": 1, "8-bit gray PNG": 3}
    assert report.findings == []


def test_the_contact_sheet_shows_images_colours_and_what_is_outside(tree):
    """Each cell is 2 x 8 pixels wide: the image, then its overlay."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[0], mask[1] = 9, 255
    for path in [*tree.glob("masks/*/*.png")]:
        save(path, mask)
    report = checking.check("folder", str(tree))
    sheet = pictures.contact_sheet(report)
    tile = report.tiles[0]
    left, top = GAP, CAPTION
    np.testing.assert_array_equal(sheet[top : top + 6, left : left + 8], tile.image)
    shown = sheet[top : top + 6, left + 8 : left + 16]
    assert (shown[0] == OUTSIDE).all()
    # Two of six pixels along a row are white: those with row + column 0, 1, 6, 7, so columns 0, 5 and 6 of row 1.
    assert (shown[1, [0, 5, 6]] == 255).all()
    dark = [1, 2, 3, 4, 7]
    np.testing.assert_array_equal(shown[1, dark], tile.image[1, dark] // 3)
    mixed = 0.4 * tile.image[2:] + 0.6 * np.array(report.classes[0].color)
    np.testing.assert_allclose(shown[2:], mixed, atol=0.51)


def test_many_classes_and_large_images_make_a_sheet_too(tmp_path):
    report = checking.check("streets(train=20, val=3, size=(240, 800))")
    assert len(report.tiles) == 6 + 3
    assert {tile.image.shape for tile in report.tiles} == {(96, 320, 3)}
    rows = dataclasses.replace(report, classes=report.classes * 4)
    assert pictures.contact_sheet(rows).shape[2] == 3
    assert report.findings == []


def test_the_sheet_is_written_as_seen(tree):
    report = run(tree)
    written = cv2.imread(str(tree.parent / "out/check_folder.png"))[..., ::-1]
    np.testing.assert_array_equal(written, pictures.contact_sheet(report))


SAMPLES = pathlib.Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real files of ../shared/data are not here")
@pytest.mark.parametrize(
    ("spec", "folder", "kind", "values"),
    [
        ("pascal_voc", "samples/voc_labelme/VOCdevkit/VOC2012", "palette PNG", [0, 5, 6, 7, 9, 15, 18, 255]),
        (
            "ade20k",
            "samples/ade20k_sceneparsing/ADEChallengeData2016",
            "8-bit gray PNG",
            [0, 1, 2, 3, 5, 7, 10, 12, 14, 18, 21, 44, 81, 88, 97, 103],
        ),
    ],
)
def test_real_files_are_clean(spec, folder, kind, values):
    report = checking.check(spec, str(SAMPLES / folder))
    assert report.findings == []
    assert set(report.mask_kinds) == {kind}
    assert sorted(v.code for v in report.values.values() if v.images) == values
    assert len(report.tiles) == min(12, sum(report.splits.values()))


def test_records_are_no_source(tree):
    records = input_pipeline.prepare("folder", str(tree), str(tree.parent / "cache"))
    with pytest.raises(ValueError, match="to be the source tree"):
        run(records.directory)


def test_no_dataset_and_no_files(tmp_path):
    with pytest.raises(ValueError, match=r"Expected --dataset, one of: .*folder"):
        check_lib.check(Config(mode="check"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run(tmp_path / "nowhere")


def test_deep_images_are_checked_by_the_range_of_the_run(tree, capsys):
    for i, path in enumerate(sorted(tree.glob("images/*/*.png"))):
        values = np.random.default_rng(i).integers(0, 1000, SHAPE).astype(np.uint16)
        values[0, :2] = 0, 1000
        save(path, values)
    report = run(tree)
    assert report.findings == []
    assert report.image_kinds == {"16-bit gray PNG": 6}
    # 1000 / 65535 is less than an eighth; it has 10 bits: 1023.
    said = "Note: 16-bit images use 0..1000 of 65535 and become nearly black: give --image_range=0,1023."
    assert said in capsys.readouterr().out
    run(tree, image_range="0,1023", overwrite=True)
    assert "Note: 16-bit images use 0..1000.\n" in capsys.readouterr().out
    # The contact sheet shows what the network will see: 1000 / 1023 * 255 = 249.3.
    assert max(tile.image.max() for tile in checking.check("folder", str(tree), "0,1023").tiles) == 249


def test_files_of_several_pages_are_named(tree):
    frames = [Image.fromarray(np.full((*SHAPE, 3), i, np.uint8)) for i in range(3)]
    for kind in ("images", "masks"):
        (tree / f"{kind}/val/val0.png").unlink()
        pages = frames if kind == "images" else [frame.convert("L") for frame in frames]
        pages[0].save(tree / f"{kind}/val/val0.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(SystemExit):
        run(tree)
    text = (tree.parent / "out/check_folder.txt").read_text()
    for kind in ("images", "masks"):
        assert (
            f"{kind}/val/val0.tif: Expected one picture a file. Received: 3 pages. Save each as a file of its own"
            in text
        )


def test_a_mask_whose_palette_says_two_things_is_a_finding(tree):
    table(tree, "0,a,250,0,10", "1,b,0,200,0", header="id,name,r,g,b")
    mask = np.asarray(Image.open(tree / "masks/val/val0.png"))
    palette = Image.frombytes("P", SHAPE[::-1], mask.tobytes())
    palette.putpalette([0, 200, 0, 1, 2, 3])
    palette.save(tree / "masks/val/val0.png")
    report = checking.check("folder", str(tree))
    assert len(report.findings) == 1
    assert "val0.png: Expected a palette in the colours of the class table" in report.findings[0]
    assert (
        "index 0 is (0, 200, 0), a colour of the table; index 1 is (1, 2, 3), no colour of the table"
        in report.findings[0]
    )
    palette.putpalette([0, 200, 0, 250, 0, 10])  # the table's colours in another order
    palette.save(tree / "masks/val/val0.png")
    report = checking.check("folder", str(tree))
    assert report.findings == []
    assert [note.partition(":")[0] for note in report.notes] == [
        "1 palette masks are read by their colours, which are the table's in another order"
    ]


def test_a_table_of_one_class_is_refused(tree):
    table(tree, "0,ignore", "1,b")
    with pytest.raises(ValueError, match=r"nothing to tell apart.*Give the background"):
        findings(tree)
