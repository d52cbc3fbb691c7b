import pathlib

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline.source import class_tables, listing

SAMPLES = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "samples"
IDS = np.array([[0, 1, 2, 2], [0, 1, 1, 255], [0, 0, 1, 1]], np.uint8)
COLORS = {0: (10, 20, 30), 1: (200, 0, 0), 2: (0, 200, 0), 255: (0, 0, 0)}
IMAGE = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7
TABLE = "id,name\n0,ground\n1,wall\n2,roof\n"
COLOR_TABLE = "id,name,r,g,b\n0,ground,10,20,30\n1,wall,200,0,0\n2,roof,0,200,0\n255,ignore,0,0,0\n"


def rgb(ids):
    return np.array([[COLORS[i] for i in row] for row in ids.tolist()], np.uint8)


def palette(ids):
    image = Image.frombytes("P", ids.shape[::-1], ids.tobytes())
    image.putpalette([v for i in range(256) for v in ((i * 37) % 256, (i * 91) % 256, (i * 53) % 256)])
    return image


MASKS = {
    "gray": (TABLE, lambda: Image.fromarray(IDS), "png"),
    "palette": (TABLE, lambda: palette(IDS), "png"),
    "16bit": (TABLE, lambda: Image.fromarray(IDS.astype(np.uint16)), "png"),
    "gray in rgb": (TABLE, lambda: Image.fromarray(np.stack([IDS] * 3, -1)), "png"),
    "bmp": (TABLE, lambda: Image.fromarray(IDS), "bmp"),
    "tiff": (TABLE, lambda: Image.fromarray(IDS.astype(np.uint16)), "tiff"),
    "rgb": (COLOR_TABLE, lambda: Image.fromarray(rgb(IDS)), "png"),
    "rgba": (COLOR_TABLE, lambda: Image.fromarray(np.dstack([rgb(IDS), np.full_like(IDS, 200)])), "png"),
    "palette beside colours": (COLOR_TABLE, lambda: palette(IDS), "png"),
}


def write(root, names=("a",), table=TABLE, image=IMAGE, mask=IDS, image_format="png", mask_format="png"):
    (root / "classes.csv").write_text(table)
    for name in names:
        for kind, content, extension in (("images", image, image_format), ("masks", mask, mask_format)):
            path = root / kind / f"{name}.{extension}"
            path.parent.mkdir(parents=True, exist_ok=True)
            (content if isinstance(content, Image.Image) else Image.fromarray(content)).save(path)
    return str(root)


def fake_tree(root):
    """Five images with masks of ids; one of them becomes val."""
    root.mkdir()
    write(root, names="abcde")
    return "folder"


def examples(tmp_path, spec="folder", split="train"):
    data = input_pipeline.dataset(spec, split, str(tmp_path / "data"), str(tmp_path / "cache"))
    return {e["id"].decode(): e for e in data.as_numpy_iterator()}


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("kind", MASKS)
def test_masks_of_every_kind_give_the_same_ids(kind, data, tmp_path):
    table, mask, extension = MASKS[kind]
    write(data, table=table, mask=mask(), mask_format=extension)
    example = examples(tmp_path, "folder(val_fraction=0.0)")["a"]
    np.testing.assert_array_equal(example["label"], IDS)
    np.testing.assert_array_equal(example["image"], IMAGE)


def test_a_real_palette_mask(data, tmp_path):
    voc = SAMPLES / "voc_fcn_demo/VOCdevkit/VOC2012"
    if not voc.is_dir():
        pytest.skip(f"the real VOC sample is not at {voc}")
    (data / "images").symlink_to(voc / "JPEGImages")
    (data / "masks").symlink_to(voc / "SegmentationClass")
    (data / "classes.csv").write_text("id,name\n" + "".join(f"{i},class{i}\n" for i in range(21)))
    example = examples(tmp_path)["fcn_demo"]
    assert np.unique(example["label"]).tolist() == [0, 2, 15, 255], "ids, not the luminance of their colours"
    assert example["label"].shape == example["image"].shape[:2]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_narrow_gray_masks_keep_their_ids(bits, data, tmp_path):
    # PIL reads 2 and 4-bit gray stretched to 0..255; it cannot write them, so the file is put together here.
    import struct
    import zlib

    ids = np.array([[0, 1, 1, 0], [1, 0, 1, 1]], np.uint8) * (2**bits - 1) // (2**bits - 1)
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # noqa: E731
    rows = b"".join(
        b"\0" + np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes() for row in ids
    )
    header = struct.pack(">IIBBBBB", 4, 2, bits, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    write(data, image=IMAGE[:2])
    (data / "masks/a.png").write_bytes(png)
    np.testing.assert_array_equal(examples(tmp_path)["a"]["label"], ids)


def test_the_label_is_stored_as_8_bit_gray_and_the_image_as_it_was(data, tmp_path):
    write(data, mask=palette(IDS))
    prepared = input_pipeline.prepare("folder", str(data), str(tmp_path / "cache"))
    record = next(prepared.encoded("train").as_numpy_iterator())
    assert record["image"] == (data / "images/a.png").read_bytes()
    assert record["label"][24:26] == bytes([8, 0]), "bit depth 8, colour type gray"


@pytest.mark.parametrize("extension", ["png", "jpg", "jpeg", "bmp", "webp", "tiff"])
def test_images_of_every_format(extension, data, tmp_path):
    write(data, image=np.full((3, 4, 3), (90, 120, 40), np.uint8), image_format=extension)
    image = examples(tmp_path)["a"]["image"]
    assert image.shape == (3, 4, 3)
    np.testing.assert_allclose(image, np.broadcast_to((90, 120, 40), image.shape), atol=3)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(IMAGE[..., 0]), np.stack([IMAGE[..., 0]] * 3, -1)),
        (Image.fromarray(IMAGE[..., 0].astype(np.uint16) * 256 + 5), np.stack([IMAGE[..., 0]] * 3, -1)),
        (Image.fromarray(np.dstack([IMAGE, np.full((3, 4), 9, np.uint8)])), IMAGE),
        (Image.fromarray(IMAGE).quantize(12), IMAGE),
    ],
    ids=["gray", "16-bit gray", "alpha", "palette"],
)
def test_images_of_every_mode_come_as_rgb(image, expected, data, tmp_path):
    write(data, image=image)
    np.testing.assert_array_equal(examples(tmp_path)["a"]["image"], expected)


def test_exif_orientation_turns_the_image_and_the_mask_must_match(data, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    write(data, mask=np.rot90(IDS, -1))
    Image.fromarray(IMAGE).save(data / "images/a.png", exif=exif)
    example = examples(tmp_path)["a"]
    np.testing.assert_array_equal(example["image"], np.rot90(IMAGE, -1))
    np.testing.assert_array_equal(example["label"], np.rot90(IDS, -1))
    Image.fromarray(IDS).save(data / "masks/a.png")
    with pytest.raises(ValueError, match=r"(?s)masks.a\.png.*3 x 4.*4 x 3.*EXIF"):
        examples(tmp_path)


def test_nested_folders_keep_their_names(data, tmp_path):
    write(data, names=("a", "deep/er/b", "other/b"))
    (data / "images/._a.png").write_bytes(b"what macOS leaves beside a file")
    assert examples(tmp_path, "folder(val_fraction=0.0)").keys() == {"a", "deep/er/b", "other/b"}


def test_split_folders(data, tmp_path):
    write(data, names=("train/a", "train/b", "val/a"))
    assert examples(tmp_path).keys() == {"a", "b"}
    assert examples(tmp_path, split="val").keys() == {"a"}
    with pytest.raises(ValueError, match=r"val_fraction.*train, val"):
        examples(tmp_path, "folder(val_fraction=0.5)")


def test_split_lists_of_names_and_of_pairs(data, tmp_path):
    write(data, names=("a", "b", "deep/c", "with space"))
    (data / "train.txt").write_text("# a comment\na\nimages/b.png masks/a.png\n\ndeep/c.png\n")
    (data / "val.txt").write_text("images/with space.png, masks/with space.png\n")
    assert examples(tmp_path).keys() == {"a", "images/b", "deep/c"}
    assert examples(tmp_path, split="val").keys() == {"images/with space"}


def test_a_list_of_pairs(data, tmp_path):
    write(data, names=[f"n{i}" for i in range(10)])
    (data / "pairs.txt").write_text("".join(f"images/n{i}.png\tmasks/n{i}.png\n" for i in range(1, 10)))
    train, val = (examples(tmp_path, 'folder(list="pairs.txt")', s).keys() for s in ("train", "val"))
    assert len(train) == 7
    assert len(val) == 2
    assert train | val == {f"images/n{i}" for i in range(1, 10)}


def test_the_held_out_split_is_stable():
    class Named:
        def __init__(self, name):
            self.id = name

    names = [Named(f"image{i}") for i in range(100)]
    first = {e.id for e in listing.held_out(names, 0.2, 0)["val"]}
    assert len(first) == 20
    assert {e.id for e in listing.held_out(names[::-1], 0.2, 0)["val"]} == first, "whatever the order of the files"
    assert {e.id for e in listing.held_out(names, 0.2, 1)["val"]} != first
    assert len(first - {e.id for e in listing.held_out(names[:99], 0.2, 0)["val"]}) <= 1
    assert listing.held_out(names, 0.0, 0).keys() == {"train"}
    assert [len(v) for v in listing.held_out(names[:2], 0.01, 0).values()] == [1, 1]


def test_generated_colours_are_distinct():
    colors = [class_tables.color_of(i) for i in range(255)]
    assert len(set(colors)) == 255
    assert (0, 0, 0) not in colors


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,id\n0,a\n", r"line 2: "),
        ("number,name\n0,a\n", r"header id,name.*number,name"),
        ("id,name,r\n0,a,1\n", r"header"),
        ("id,name\n", r"no row"),
        ("id,name\n0,a\n0,b\n", r"ids: 0 more than once"),
        ("id,name\n0,a\n1,a\n", r"names: a more than once"),
        ("id,name,r,g,b\n0,a,1,2,3\n1,b,1,2,3\n", r"colours: \(1, 2, 3\) more than once"),
        ("id,name,r,g,b\n0,a,1,2,300\n", r"line 2: 0,a,1,2,300"),
        ("id,name\n0.5,a\n1,b\n", r"line 2: 0\.5,a"),
    ],
)
def test_a_bad_class_table_is_refused(table, message, data, tmp_path):
    write(data, table=table)
    with pytest.raises(ValueError, match=message):
        examples(tmp_path)


def test_a_class_table_as_spreadsheets_write_it(data, tmp_path):
    write(data)
    (data / "classes.csv").write_bytes("﻿ID, Name\r\n2, roof\r\n1, wall\r\n0, ground\r\n".encode())
    prepared = input_pipeline.prepare("folder", str(data), str(tmp_path / "cache"))
    assert [c.name for c in prepared.classes] == ["roof", "wall", "ground"], "train ids follow the rows"
    np.testing.assert_array_equal(examples(tmp_path)["a"]["label"], np.where(IDS == 255, 255, 2 - np.minimum(IDS, 2)))


def test_a_row_named_ignore(data, tmp_path):
    write(data, table="id,name\n0,ground\n1,ignore\n2,roof\n255,border\n")
    np.testing.assert_array_equal(examples(tmp_path)["a"]["label"], np.array([0, 255, 1, 2])[np.minimum(IDS, 3)])
