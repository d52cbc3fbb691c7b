"""Each fault of a source tree: one error that names the file and says what to do."""

import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline.source import files, listing

SHAPE = (6, 8)


@pytest.fixture
def tree(tmp_path):
    """A CamVid of three training images."""
    for name in ("a", "b", "c"):
        save(tmp_path / f"data/train/{name}.png", np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8))
        save(tmp_path / f"data/trainannot/{name}.png", np.arange(48, dtype=np.uint8).reshape(SHAPE) % 12)
    return tmp_path / "data"


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def prepare(tree, spec="camvid", **options):
    return input_pipeline.prepare(spec, str(tree), str(tree.parent / "cache"), **options)


def refused(tree, message, error=ValueError):
    with pytest.raises(error, match=message):
        prepare(tree)
    assert not list((tree.parent / "cache").glob("*/*/*/statistics.json")), "nothing that looks whole is left"
    assert not list((tree.parent / "cache").glob("*/*/incomplete*"))


def test_no_folder(tmp_path):
    refused(tmp_path / "nowhere", r"nowhere.*trainannot.*git clone", FileNotFoundError)


def test_no_data_dir():
    with pytest.raises(ValueError, match=r"data_dir.*trainannot"):
        input_pipeline.prepare("camvid")


def test_no_split_at_all(tmp_path):
    (tmp_path / "data").mkdir()
    refused(tmp_path / "data", r"trainannot.*Received: .*data", FileNotFoundError)


def test_folder_without_images_masks_or_table(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(FileNotFoundError, match=r"id,name.*classes\.csv"):
        prepare(tmp_path / "data", "folder")
    (tmp_path / "data/classes.csv").write_text("id,name\n0,a\n1,b\n")
    with pytest.raises(FileNotFoundError, match=r"images/, masks/"):
        prepare(tmp_path / "data", "folder")
    with pytest.raises(FileNotFoundError, match=r"pairs\.txt"):
        prepare(tmp_path / "data", 'folder(list="pairs.txt")')


def test_an_absent_split_is_left_out_and_said(tree, caplog):
    with caplog.at_level(logging.INFO, "absl"):
        assert prepare(tree).splits == {"train": 3}
    assert "no val split" in caplog.text
    assert "no test split" in caplog.text
    with pytest.raises(ValueError, match=r"Expected a split of camvid: train\. Received: split='val'"):
        prepare(tree).encoded("val")


def test_no_images(tree):
    for path in (tree / "train").iterdir():
        path.unlink()
    refused(tree, r"none in .*train")


def test_image_without_mask(tree):
    (tree / "trainannot/b.png").unlink()
    refused(tree, r"(?s)1 of 3 .*trainannot.b\.png: Expected a file")


def test_mask_without_image(tree, caplog):
    (tree / "train/b.png").unlink()
    with caplog.at_level(logging.INFO, "absl"):
        assert prepare(tree).splits == {"train": 2}
    assert "trainannot/b.png" in caplog.text.replace("\\", "/")


def test_mask_of_another_size(tree):
    save(tree / "trainannot/b.png", np.zeros((8, 8), np.uint8))
    refused(tree, r"trainannot.b\.png: Expected the size of its image, 8 x 6 \(width x height\)\. Received: 8 x 8")


def test_unknown_ids(tree):
    save(tree / "trainannot/b.png", np.where(np.arange(48).reshape(SHAPE) < 5, 77, 3).astype(np.uint8))
    refused(tree, r"trainannot.b\.png: Expected ids of the class table: 0, 1, .*10, 11\. Received: 77 on 5 pixels")


def test_unknown_ids_of_16_bits_are_not_cut_to_8(tree):
    save(tree / "trainannot/b.png", np.full(SHAPE, 256 + 3, np.uint16))
    refused(tree, r"Received: 259 on 48 pixels")


def test_unknown_colours(tmp_path):
    tree = tmp_path / "data"
    mask = np.zeros((*SHAPE, 3), np.uint8)
    mask[0, :2] = (1, 2, 3)
    save(tree / "images/a.png", mask)
    save(tree / "masks/a.png", mask)
    (tree / "classes.csv").write_text("id,name,r,g,b\n0,a,0,0,0\n1,b,9,9,9\n")
    with pytest.raises(ValueError, match=r"colours.*\(9, 9, 9\)\. Received: \(1, 2, 3\) on 2 pixels"):
        prepare(tree, "folder")
    (tree / "classes.csv").write_text("id,name\n0,a\n1,b\n")
    with pytest.raises(ValueError, match=r"no colours\. Received: an RGB mask"):
        prepare(tree, "folder")


@pytest.mark.parametrize(("kind", "which"), [("PNG", "train"), ("JPEG", "train"), ("PNG", "trainannot")])
def test_truncated(kind, which, tree):
    noise = np.random.default_rng(0).integers(0, 11, (60, 80) + (3,) * (which == "train"), np.uint8)
    for folder in ("train", "trainannot"):
        save(tree / folder / "b.png", np.zeros((60, 80) + (3,) * (folder == "train"), np.uint8))
    path = tree / which / "b.png"
    Image.fromarray(noise).save(path, format=kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(tree, rf"(?s)1 of 3.*{which}.b\.png: Expected a whole file\. Received: ")


def test_jpeg_mask(tree):
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tree / "trainannot/b.png", format="JPEG")
    refused(tree, r"trainannot.b\.png: Expected a PNG, BMP or TIFF mask\. Received: JPEG.*Export")


def test_jpeg_mask_by_its_name(tree):
    (tree / "trainannot/b.png").unlink()
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tree / "trainannot/b.jpg")
    refused(tree, r"trainannot.b\.jpg: Expected a PNG, BMP or TIFF mask\. Received: JPEG")


def png(passes, height, width):
    """A gray PNG of the rows of `passes`, each a list of arrays; interlaced if there are several."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.tobytes() for rows in passes for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, len(passes) > 1)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_mask_with_fewer_rows_than_its_header_says(tree):
    """PIL silently gives the missing rows the id 0, sky."""
    ids = np.ones(SHAPE, np.uint8)
    path = tree / "trainannot/b.png"
    path.write_bytes(png([ids[:4]], *SHAPE))
    assert np.asarray(Image.open(path))[:, 0].tolist() == [1, 1, 1, 1, 0, 0]
    # 6 rows of 8 ids and a byte for the filter: 54; 4 of them: 36.
    refused(tree, r"trainannot.b\.png: Expected 54 bytes of pixels, as the header says\. Received: 36")


def test_a_changed_byte_in_a_mask(tree):
    path = tree / "trainannot/b.png"
    data = bytearray(path.read_bytes())
    data[data.index(b"IEND") - 10] ^= 1  # the last of the four bytes of the sum that closes the pixels is 9 before it
    path.write_bytes(data)
    refused(tree, r"trainannot.b\.png: Expected a whole file\. Received: .*incorrect data check")


def test_an_interlaced_mask_is_whole(tree):
    ids = np.arange(48, dtype=np.uint8).reshape(SHAPE) % 11
    # PNG specification, 8.2: the passes of Adam7, each the pixels from (row, column) in steps of (rows, columns).
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    data = png([ids[row::rows, column::columns] for row, column, rows, columns in passes], *SHAPE)
    (tree / "trainannot/b.png").write_bytes(data)
    np.testing.assert_array_equal(files.read_mask(tree / "trainannot/b.png"), ids)
    (tree / "trainannot/b.png").write_bytes(data[:40] + data[41:])
    with pytest.raises(files.FAULTS):
        files.read_mask(tree / "trainannot/b.png")


def test_a_mask_that_was_not_turned_as_its_image(tree):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(tree / "train/b.png", exif=exif)
    refused(tree, r"Expected the size of its image, 6 x 8 .*Received: 8 x 6\. .*as EXIF turns the image")


@pytest.mark.parametrize("which", ["train", "trainannot"])
def test_empty_file(which, tree):
    (tree / which / "b.png").write_bytes(b"")
    refused(tree, rf"{which}.b\.png: .*Received: an empty file")


@pytest.mark.parametrize("which", ["train", "trainannot"])
def test_unreadable_file(which, tree):
    (tree / which / "b.png").write_text("<html>404</html>")
    refused(tree, rf"{which}.b\.png: Expected a whole file\. Received: cannot identify image file")


def test_a_mask_that_is_a_link_to_nowhere(tree):
    (tree / "trainannot/b.png").unlink()
    (tree / "trainannot/b.png").symlink_to(tree / "gone.png")
    refused(tree, r"trainannot.b\.png: Expected a file")


def test_all_faults_are_reported_together(tree):
    (tree / "trainannot/a.png").unlink()
    (tree / "train/b.png").write_bytes(b"")
    save(tree / "trainannot/c.png", np.full(SHAPE, 99, np.uint8))
    refused(tree, r"(?s)3 of 3.*a\.png.*b\.png.*c\.png")


def test_a_long_report_is_cut():
    assert listing.some([str(i) for i in range(12)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 2 more"


def test_two_images_of_one_name(tree):
    save(tree / "train/b.bmp", np.zeros((*SHAPE, 3), np.uint8))
    refused(tree, r"one file of a name\. Received: .*b\.bmp and .*b\.png")


def test_an_image_listed_twice(tmp_path):
    tree = tmp_path / "data"
    save(tree / "images/a.png", np.zeros((*SHAPE, 3), np.uint8))
    save(tree / "masks/a.png", np.zeros(SHAPE, np.uint8))
    (tree / "classes.csv").write_text("id,name\n0,a\n1,b\n")
    (tree / "train.txt").write_text("a\na\n")
    with pytest.raises(ValueError, match=r"each image of train once.*: a\."):
        prepare(tree, "folder")


def test_unknown_names_and_options(tree):
    with pytest.raises(ValueError, match=r"camvid, .*folder, .*streets.*'camvit'"):
        prepare(tree, "camvit")
    with pytest.raises(ValueError, match=r"camvid\(classes.*\).*size"):
        prepare(tree, "camvid(size=3)")
    with pytest.raises(ValueError, match=r"classes=12.*Received: .*classes=32"):
        prepare(tree, "camvid(classes=32)")
    with pytest.raises(ValueError, match=r"streets is drawn"):
        prepare(tree, "streets")
    with pytest.raises(ValueError, match=r"size=\(8, 8\)"):
        input_pipeline.prepare("streets(size=(8, 8))")
